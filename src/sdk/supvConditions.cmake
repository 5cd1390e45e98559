# Part of the CMake package supv: how a plugin is built.

# supv_add_condition(NAME source...): the target NAME, a plugin NAME.so that shows nothing but its
# descriptor. NAME is the condition's name, as in the watch file.
function(supv_add_condition name)
  if(NOT name MATCHES "^[a-z][a-z0-9_]*$")
    message(FATAL_ERROR "supv_add_condition: '${name}' cannot be the name of a condition: "
      "a-z 0-9 _, starting with a letter")
  endif()
  if(NOT ARGN)
    message(FATAL_ERROR "supv_add_condition(${name}): which source files?")
  endif()
  add_library(${name} MODULE ${ARGN})
  target_link_libraries(${name} PRIVATE supv::sdk)
  get_target_property(headers supv::sdk INTERFACE_INCLUDE_DIRECTORIES)
  set(map ${headers}/supv/condition.map)
  # supvd lends no symbols: what is not defined here or in a library is a mistake, best seen now.
  target_link_options(${name} PRIVATE "LINKER:--version-script=${map}" LINKER:-z,defs)
  set_target_properties(${name} PROPERTIES PREFIX "" SUFFIX ".so" LINK_DEPENDS ${map}
    C_VISIBILITY_PRESET hidden CXX_VISIBILITY_PRESET hidden VISIBILITY_INLINES_HIDDEN ON)
  install(TARGETS ${name} LIBRARY DESTINATION ${SUPV_CONDITION_DIR})
endfunction()
