God.watch do |w|
  w.name = 'child-events'
  w.interval = 5.seconds
  w.start = File.join(File.dirname(__FILE__), *%w[simple_server.rb])
  w.transition(:init, { true => :up, false => :start }) do |on|
    on.condition(:process_running) { |c| c.running = true }
  end
  w.transition(:start, :up) do |on|
    on.condition(:process_running) { |c| c.running = true }
    on.condition(:tries) do |c|
      c.times = 2
      c.transition = :start
    end
  end
  w.transition(:up, :start) { |on| on.condition(:process_exits) }
end
