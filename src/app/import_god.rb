# What `supvctl import god` runs: executes god's configuration files against a God that only writes
# down what it is told, and prints that as JSON to the descriptor $SUPV_RECORDING_FD. Needs Ruby and
# nothing else; whatever the files print goes to standard error.
require 'json'
require 'etc'

module SupvRecorder
  HERE = __FILE__
  PID = Process.pid
  OUT = IO.for_fd(Integer(ENV.delete('SUPV_RECORDING_FD')))
  OUT.close_on_exec = true
  SECONDS = Float(ENV.delete('SUPV_RECORDING_SECONDS') || 30)
  EXIT_NOW = Process.method(:exit!).unbind.bind(Process)
  TEXT_LIMIT = 64 * 1024

  # Raised into a file that does not come to an end; no `rescue => e` catches it.
  class TooLong < Exception; end

  @files = []
  @requires = []
  @record = { globals: {}, watches: [], contacts: [], contact_defaults: {}, notes: [], errors: [],
              loaded: [], uid: Process.uid, home: (Etc.getpwuid.dir rescue ENV['HOME']),
              cwd: Dir.pwd }

  class << self
    attr_reader :record, :files, :requires

    # The line of the user's file that is being executed.
    def place
      frame = caller_locations.find { |l| l.path != HERE && !l.path.start_with?('<internal:') }
      frame ? { file: frame.absolute_path || frame.path, line: frame.lineno } : { file: '', line: 0 }
    end

    def note(text, at = place)
      found = { text: text, **at }
      @record[:notes] << found unless @record[:notes].include?(found)
    end

    def error(text, at)
      @record[:errors] << { text: text, **at }
    end

    # True when the method that calls this was called by one of the user's files, not by a library.
    def asked_by_user?
      frame = caller_locations(2).find { |l| l.path != HERE && !l.path.start_with?('<internal:') }
      frame && @files.include?(frame.absolute_path || frame.path)
    end

    def text(string)
      copy = string.dup.force_encoding(Encoding::UTF_8)
      copy.valid_encoding? ? copy : copy.scrub('?')
    end

    # A Ruby value as JSON; what JSON cannot say is {"t": KIND, ...}.
    def plain(value, depth = 0)
      return { t: 'object', class: value.class.name.to_s } if depth > 20
      case value
      when nil, true, false, Integer then value
      when Float then value.finite? ? value : { t: 'object', class: 'Float' }
      when Numeric then value.to_f
      when String then text(value)
      when Symbol then { t: 'symbol', name: value.to_s }
      when God::Timeline then { t: 'timeline', size: value.max_size }
      when Array then value.map { |item| plain(item, depth + 1) }
      when Hash
        { t: 'map', pairs: value.map { |k, v| [plain(k, depth + 1), plain(v, depth + 1)] } }
      when Proc, Method, UnboundMethod then Source.code(value)
      when Module then { t: 'object', class: value.name.to_s }
      else other(value)
      end
    end

    def other(value)
      return value.to_f if value.class.name == 'ActiveSupport::Duration'
      return text(value.to_path.to_s) if value.respond_to?(:to_path)
      return text(value.to_str) if value.respond_to?(:to_str)
      { t: 'object', class: value.class.name.to_s }
    end

    # The instance variables of an object that has been configured, as attributes.
    def attributes(object)
      names = object.instance_variables.reject { |n| n == :@watch || n.start_with?('@supv_') }
      names.to_h { |n| [n.to_s.delete_prefix('@'), plain(object.instance_variable_get(n))] }
    end

    def run(files)
      arm
      files.each { |file| break unless run_one(File.expand_path(file)) }
    ensure
      finish
    end

    def run_one(path)
      load_file(path)
      true
    rescue TooLong
      error("it has not come to an end after #{SECONDS.round(1)} s", stopped_at($!, path))
    rescue SystemExit
      error('it calls exit; god would not have started', stopped_at($!, path))
    rescue SyntaxError
      error(text($!.message.lines.first.to_s.strip.sub(/\A#{Regexp.escape(path)}:\d+: /, '')),
            { file: path, line: $!.message[/\A[^\n]*?:(\d+): /, 1].to_i })
    rescue LoadError
      error(text($!.message), stopped_at($!, path))
    rescue Exception
      error("#{$!.class}: #{text($!.message.to_s.lines.first.to_s.strip)}", stopped_at($!, path))
    end

    def load_file(path)
      @files << path unless @files.include?(path)
      @record[:loaded] << path unless @record[:loaded].include?(path)
      SupvOriginals.load(path)
    end

    def stopped_at(exception, path)
      frames = exception.backtrace_locations || []
      frame = frames.find { |l| @files.include?(l.absolute_path || l.path) }
      frame ? { file: frame.absolute_path || frame.path, line: frame.lineno } : { file: path, line: 0 }
    end

    def arm
      main = Thread.current
      Thread.new do
        sleep SECONDS
        main.raise(TooLong)
      end
    end

    # Says what was recorded and ends at once: no at_exit of a user's file runs.
    def finish
      return EXIT_NOW.call(0) if Process.pid != PID
      @record[:watches].each(&:supv_finish)
      @record[:watches].map!(&:supv_record)
      @record[:contacts].map!(&:supv_record)
      @record[:contact_defaults] = God::Contact.supv_all_defaults
      @record[:requires] = @requires
      OUT.write(JSON.generate(@record))
      OUT.close
      EXIT_NOW.call(0)
    end
  end

  # The text of lambdas, methods and classes, with what of their surroundings they use.
  module Source
    CONSTANTS = Object.constants
    METHODS = Object.private_instance_methods(false) + Object.instance_methods(false)
    GLOBALS = global_variables

    class << self
      def code(callable)
        file, line = callable.source_location
        found = { t: 'code', source: of(callable), file: file.to_s, line: line.to_i }
        return found unless found[:source]
        found.merge(surroundings(found[:source], callable))
      end

      # The source text, its later lines moved to the left.
      def of(callable)
        file, line = callable.source_location
        return nil unless file && File.file?(file)
        lines = File.readlines(file)
        outdent(exact(callable, lines) || guess(lines, line))
      rescue SystemCallError
        nil
      end

      def exact(callable, lines)
        node = RubyVM::AbstractSyntaxTree.of(callable)
        part = lines[(node.first_lineno - 1)..(node.last_lineno - 1)].map(&:b)
        part[-1] = part[-1].byteslice(0, node.last_column)
        part[0] = part[0].byteslice(node.first_column..)
        SupvRecorder.text(part.join)
      rescue StandardError, NotImplementedError, NameError
        nil
      end

      # Without a parser: the shortest run of lines from `line` on that is whole.
      def guess(lines, line)
        (1..200).each do |count|
          part = lines[line - 1, count].join
          next unless whole?(part)
          found = part[/\blambda\s*(\{.*\}|do\b.*\bend)/m, 1] || part[/\bproc\s*(\{.*\}|do\b.*\bend)/m, 1]
          return found || part[/->.*\z/m] || part
        end
        nil
      end

      def whole?(part)
        quiet { RubyVM::InstructionSequence.compile(part) }
        true
      rescue SyntaxError
        false
      end

      def quiet
        was = $VERBOSE
        $VERBOSE = nil
        yield
      ensure
        $VERBOSE = was
      end

      def outdent(source)
        return nil unless source
        first, *rest = source.lines
        margin = rest.reject { |l| l.strip.empty? }.map { |l| l[/\A[ \t]*/].size }.min || 0
        ([first] + rest.map { |l| l.strip.empty? ? "\n" : l[margin..] }).join
      end

      def surroundings(source, callable)
        prelude = []
        unsure = []
        prelude.concat(SupvRecorder.requires.map { |name| "require #{name.inspect}" })
        bind(source, callable, prelude, unsure)
        words = source.scan(/[A-Za-z_]\w*[?!]?/).uniq
        unsure << 'God' if words.include?('God')
        helpers(words, prelude, unsure)
        { prelude: prelude.uniq, unsure: unsure.uniq }
      end

      def bind(source, callable, prelude, unsure)
        words = source.scan(/\$?[A-Za-z_]\w*/).uniq
        words.grep(/\A\$/).each do |name|
          next if GLOBALS.include?(name.to_sym) || !global_variables.include?(name.to_sym)
          assign(name, eval(name), prelude, unsure)
        end
        words.grep(/\A[A-Z]/).each do |name|
          next if CONSTANTS.include?(name.to_sym) || !Object.const_defined?(name)
          assign(name, Object.const_get(name), prelude, unsure)
        end
        return unless callable.is_a?(Proc)
        (callable.binding.local_variables.map(&:to_s) & words).each do |name|
          assign(name, callable.binding.local_variable_get(name), prelude, unsure)
        end
      end

      def assign(name, value, prelude, unsure)
        return if value.is_a?(Module) && God.supv_own?(value)
        simple?(value) ? prelude << "#{name} = #{value.inspect}" : unsure << name
      end

      # Methods that the file defines at its top, and what they use in turn.
      def helpers(words, prelude, unsure)
        seen = []
        until words.empty?
          name = words.shift.to_sym
          next if seen.include?(name) || METHODS.include?(name)
          next unless Object.private_method_defined?(name, false) || Object.method_defined?(name, false)
          seen << name
          source = of(Object.instance_method(name))
          next unsure << name.to_s unless source
          prelude << source
          words.concat(source.scan(/[A-Za-z_]\w*[?!]?/))
        end
      end

      def simple?(value)
        case value
        when nil, true, false, Numeric, String, Symbol then true
        when Array then value.all? { |item| simple?(item) }
        when Hash then value.all? { |k, v| simple?(k) && simple?(v) }
        else false
        end
      end

      # The methods of a class that a file defines, up to god's own classes.
      def methods_of(klass)
        klass.ancestors.take_while { |a| !God.supv_own?(a) }.grep(Class).reverse.flat_map do |a|
          a.instance_methods(false).map { |m| [m.to_s, of(a.instance_method(m))] }
        end.to_h.compact
      end
    end
  end
end

# The methods of Kernel as they were.
module SupvOriginals
  LOAD = Kernel.instance_method(:load)
  def self.load(path) = LOAD.bind_call(self, path)
end

class Numeric
  def seconds = self
  def minutes = self * 60
  def hours = self * 3600
  def days = self * 86_400
  def kilobytes = self
  def megabytes = self * 1024
  def gigabytes = self * 1024 * 1024
  def percent = self
  %w[second minute hour day kilobyte megabyte gigabyte].each { |w| alias_method w, "#{w}s" }
end

module God
  VERSION = '0.13.7'
  VALID_STATES = %i[init up start restart].freeze

  # Keeps at most `max_size` entries, as god's does.
  class Timeline < Array
    attr_reader :max_size

    def initialize(max_size = nil)
      super()
      @max_size = max_size
    end

    def push(value)
      super
      size > max_size ? shift : nil
    end
    alias << push
  end

  # An object that takes every attribute it is given and remembers it.
  module Open
    def method_missing(name, *arguments)
      text = name.to_s
      if text.end_with?('=') && arguments.size == 1
        attribute = text.chomp('=')
        (@supv_lines ||= {})[attribute] ||= SupvRecorder.place[:line]
        return instance_variable_set("@#{attribute}", arguments.first) if attribute =~ /\A[a-z_]\w*\z/i
      end
      variable = "@#{text}"
      return instance_variable_get(variable) if text =~ /\A[a-z_]\w*\z/i && instance_variable_defined?(variable)
      nil
    end

    def respond_to_missing?(name, _private = false) = name.end_with?('=')
  end

  module Configurable
    def base_name = self.class.name.split('::').last
    def friendly_name = base_name
    def complain(text, _object = nil) = SupvRecorder.note(text.to_s) || false
    def self.complain(text, _object = nil) = SupvRecorder.note(text.to_s) || false
    def valid? = true
    def reset; end
    def prepare; end
  end

  class Behavior
    include Configurable
    include Open
    attr_accessor :watch

    %w[before after].product(%w[start stop restart]).each { |w, a| define_method("#{w}_#{a}") {} }

    def supv_record
      kind = self.class.name.to_s.split('::').last
      { kind: @supv_kind || kind, custom: !God.supv_own?(self.class), **@supv_place,
        attributes: SupvRecorder.attributes(self),
        methods: God.supv_own?(self.class) ? {} : SupvRecorder::Source.methods_of(self.class) }
    end

    # What god does once the block has been called.
    def supv_prepare
      return if God.supv_own?(self.class)
      prepare
    rescue StandardError => e
      SupvRecorder.note("#{self.class}#prepare failed: #{e.message}", @supv_place)
    end

    def self.supv_make(names, kind, base, watch)
      class_name = kind.to_s.capitalize.gsub(/_(.)/) { $1.upcase }
      klass = names.const_defined?(class_name, false) ? names.const_get(class_name) : Class.new(base)
      thing = klass.new
      thing.watch = watch if thing.respond_to?(:watch=)
      unknown = names.const_defined?(class_name, false) ? nil : true
      { :@supv_kind => kind.to_s, :@supv_place => SupvRecorder.place,
        :@supv_unknown => unknown }.each { |n, v| thing.instance_variable_set(n, v) }
      thing
    end

    def self.generate(kind, watch) = supv_make(Behaviors, kind, Behavior, watch)
  end

  class Condition < Behavior
    attr_accessor :notify, :info, :phase, :transition, :interval

    def self.generate(kind, watch) = supv_make(Conditions, kind, PollCondition, watch)

    def test = false
    def supv_record = super.merge(unknown: @supv_unknown ? true : false)
  end

  class PollCondition < Condition
    def before; end
    def after; end
  end

  class EventCondition < Condition
    def register; end
    def deregister; end
  end

  class TriggerCondition < Condition
    def process(_event, _payload); end
  end

  module Behaviors
    %w[CleanPidFile CleanUnixSocket NotifyWhenFlapping].each { |n| const_set(n, Class.new(Behavior)) }
  end

  module Conditions
    %w[ProcessRunning Tries MemoryUsage CpuUsage Always Lambda DegradingLambda HttpResponseCode
       DiskUsage FileMtime FileTouched ProcessNotRunning].each do |n|
      const_set(n, Class.new(PollCondition))
    end
    ProcessExits = Class.new(EventCondition)
    Flapping = Class.new(TriggerCondition)

    class SocketResponding < PollCondition
      def socket=(text)
        parts = text.split(':')
        @family = parts[0]
        @path = parts[1] if @family == 'unix'
        @addr = parts[1] if parts.size == 3
        @port = parts.last.to_i if @family == 'tcp'
      end
    end

    class Complex < PollCondition
      %i[this and or and_not or_not].each do |operator|
        define_method(operator) do |kind, &block|
          part = Condition.generate(kind, watch)
          block&.call(part)
          (@supv_parts ||= []) << [operator, part]
        end
      end

      def supv_record
        super.merge(parts: (@supv_parts || []).map { |o, c| { operator: o, condition: c.supv_record } })
      end
    end
  end

  # The conditions of one start_if, restart_if, transition or lifecycle.
  class Metric
    attr_accessor :watch, :destination, :conditions

    def initialize(watch, from, to)
      @watch = watch
      @conditions = []
      @from = from
      @destination = to
      @place = SupvRecorder.place
    end

    def condition(kind)
      made = Condition.generate(kind, watch)
      yield made if block_given?
      made.supv_prepare
      @conditions << made
    end

    def supv_record
      { from: SupvRecorder.plain(@from), to: SupvRecorder.plain(@destination), **@place,
        conditions: @conditions.map(&:supv_record) }
    end
  end

  class Task
    include Open

    def initialize
      @supv_place = SupvRecorder.place
      @supv_metrics = []
      @supv_behaviors = []
      @supv_keepalive = []
    end

    # Not Kernel's.
    def name = @name
    def test(*) = @test

    def autostart? = @autostart != false
    def state = :unmonitored

    def transition(from, to)
      metric = Metric.new(self, from, to)
      block_given? ? yield(metric) : metric.condition(:always) { |c| c.what = true }
      @supv_metrics << metric
    end

    def lifecycle
      metric = Metric.new(self, nil, nil)
      yield metric
      @supv_metrics << metric
    end

    def start_if(&block) = transition(:up, :start, &block)
    def restart_if(&block) = transition(:up, :restart, &block)
    def stop_if(&block) = transition(:up, :stop, &block)

    def behavior(kind)
      made = Behavior.generate(kind, self)
      yield made if block_given?
      made.supv_prepare
      @supv_behaviors << made
    end

    def keepalive(options = {})
      @supv_keepalive << { options: SupvRecorder.plain(options), **SupvRecorder.place }
    end

    def supv_finish
      @supv_attributes = SupvRecorder.attributes(self)
    end

    def supv_record
      { kind: is_a?(Watch) ? 'watch' : 'task', **@supv_place, attributes: @supv_attributes,
        lines: @supv_lines || {}, behaviors: @supv_behaviors.map(&:supv_record),
        metrics: @supv_metrics.map(&:supv_record), keepalive: @supv_keepalive }
    end
  end

  class Watch < Task; end

  class Contact
    include Configurable
    include Open

    class << self
      def defaults = yield(self)

      def method_missing(name, *arguments)
        return super unless self <= Contact
        text = name.to_s
        return (@supv_defaults ||= {})[text] unless text.end_with?('=') && arguments.size == 1
        (@supv_defaults ||= {})[text.chomp('=')] = arguments.first
        @supv_place ||= SupvRecorder.place
      end

      def respond_to_missing?(name, _private = false) = name.end_with?('=')

      # Also what custom classes keep in variables of the class.
      def supv_defaults
        variables = instance_variables.reject { |n| n.start_with?('@supv_') }
        found = variables.to_h { |n| [n.to_s.delete_prefix('@'), instance_variable_get(n)] }
        found.merge(@supv_defaults || {})
      end

      def supv_all_defaults
        kinds = Contacts.constants.map { |n| Contacts.const_get(n) }
        kinds.grep(Class).select { |k| k <= Contact && !k.supv_defaults.empty? }.to_h do |k|
          values = k.supv_defaults.transform_values { |v| SupvRecorder.plain(v) }
          [k.name.split('::').last, { attributes: values, **(k.instance_variable_get(:@supv_place) ||
                                                             { file: '', line: 0 }) }]
        end
      end
    end

    def arg(name) = instance_variable_get("@#{name}") || self.class.supv_defaults[name.to_s]

    def supv_record
      { kind: @supv_kind, class: self.class.name.to_s.split('::').last,
        custom: !God.supv_own?(self.class), **@supv_place,
        attributes: SupvRecorder.attributes(self) }
    end
  end

  module Contacts
    %w[Email Webhook Slack Hipchat Campfire Jabber Prowl Airbrake Scout Sensu Statsd
       Twitter].each { |n| const_set(n, Class.new(Contact)) }
  end

  # Stands for whatever else of god a file mentions.
  class Nothing
    def self.method_missing(*) = nil
    def self.respond_to_missing?(*) = true
    def method_missing(*) = self
    def respond_to_missing?(*) = true
  end

  class EventHandler
    def self.loaded? = true
    def self.load; end
    def self.register(*) = SupvRecorder.note('God::EventHandler.register has no equivalent')
  end

  @groups = {}
  @settings = {}

  class << self
    def watch(&block) = task(Watch, &block)

    def task(klass = Task)
      made = klass.new
      made.interval = @meddled if @meddled
      SupvRecorder.record[:watches] << made
      yield made
      made
    end

    # The form of god 0.1.
    def meddle(*)
      SupvRecorder.note('God.meddle is gone from god since 0.2; read as God.watch')
      yield Meddled
    end

    def supv_meddled(seconds) = @meddled = seconds

    def contact(kind)
      name = kind.to_s.capitalize.gsub(/_(.)/) { $1.upcase }
      klass = Contacts.const_defined?(name, false) ? Contacts.const_get(name) : Class.new(Contact)
      made = klass.new
      made.instance_variable_set(:@supv_kind, kind.to_s)
      made.instance_variable_set(:@supv_place, SupvRecorder.place)
      yield made if block_given?
      SupvRecorder.record[:contacts] << made
    end

    def load(glob)
      at = SupvRecorder.place
      found = Dir[glob].sort
      if found.empty? && !glob.start_with?('/')
        found = Dir[File.join(File.dirname(at[:file]), glob)].sort
        SupvRecorder.note("God.load #{glob.inspect} is relative to where god was started; " \
                          'taken as relative to this file', at) unless found.empty?
      end
      SupvRecorder.note("God.load #{glob.inspect} matches no file", at) if found.empty?
      found.each { |path| SupvRecorder.load_file(File.expand_path(path)) }
    end

    def running = false
    def inited = true
    def version = VERSION
    def registry = Nothing.new
    def watches = SupvRecorder.record[:watches].to_h { |w| [w.name, w] }
    def groups = @groups
    def contacts = {}
    def pid_file_directory = @settings['pid_file_directory'] || '/var/run/god'

    def method_missing(name, *arguments)
      text = name.to_s
      return @settings[text] unless text.end_with?('=')
      @settings[text.chomp('=')] = arguments.first
      SupvRecorder.record[:globals][text.chomp('=')] =
        { value: SupvRecorder.plain(arguments.first), **SupvRecorder.place }
    end

    def respond_to_missing?(name, _private = false) = name.end_with?('=')

    def const_missing(name)
      SupvRecorder.note("God::#{name} does not exist here; what is done with it has no effect")
      const_set(name, Class.new(Nothing))
    end

    # True for the classes of this file; those of the user's files are custom.
    def supv_own?(klass)
      return true if klass.name.nil? || !klass.name.start_with?('God')
      @supv_own&.include?(klass) || false
    end

    def supv_remember
      @supv_own = ObjectSpace.each_object(Module).select { |m| m.name.to_s.start_with?('God') }
    end
  end

  module Meddled
    def self.interval=(seconds)
      God.supv_meddled(seconds)
    end

    def self.method_missing(name, *arguments, &block) = God.public_send(name, *arguments, &block)
    def self.respond_to_missing?(*) = true
  end
end

class God::Log
  def method_missing(*) = nil
  def respond_to_missing?(*) = true
end
LOG = God::Log.new
God.supv_remember

def applog(*) = nil

def Object.const_missing(name)
  if name == :GOD_ROOT
    spec = (Gem::Specification.find_by_name('god') rescue nil)
    root = spec && File.directory?(spec.gem_dir) ? spec.gem_dir : '/usr/lib/ruby'
    SupvRecorder.note("GOD_ROOT is the folder of god itself; #{root} is written down for it")
    return const_set(:GOD_ROOT, root)
  end
  super
end

# Of the libraries that files need only while god runs.
module SupvDiplomat
  class Settings
    include God::Open
  end

  def self.define
    settings = Settings.new
    Object.const_set(:Diplomat, Module.new do
      define_singleton_method(:configure) { |&block| block&.call(settings) }
      define_singleton_method(:configuration) { settings }
      define_singleton_method(:const_missing) { |name| const_set(name, Class.new(God::Nothing)) }
    end)
  end

  # Diplomat's own settings, whether it is the real one or the one above.
  def self.record
    return unless defined?(Diplomat) && Diplomat.respond_to?(:configuration)
    settings = Diplomat.configuration
    SupvRecorder.record[:diplomat] = SupvRecorder.plain(settings.url) if settings.url
  rescue StandardError
    nil
  end
end

module Kernel
  supv_require = instance_method(:require)
  supv_load = instance_method(:load)
  supv_system = instance_method(:system)
  supv_backtick = instance_method(:`)

  define_method(:require) do |name|
    asked = SupvRecorder.asked_by_user?
    return true if name.to_s =~ %r{\Agod(/|\z)} || (asked && name.to_s =~ %r{/god(\.rb)?\z})
    begin
      done = supv_require.bind_call(self, name)
      SupvRecorder.requires << name.to_s if asked && !SupvRecorder.requires.include?(name.to_s)
      done
    rescue LoadError
      raise unless asked
      SupvRecorder.note("require #{name.to_s.inspect} failed: #{$!.message.lines.first.to_s.strip}")
      SupvDiplomat.define if name.to_s == 'diplomat' && !Object.const_defined?(:Diplomat)
      false
    end
  end

  define_method(:load) do |path, wrap = false|
    full = File.expand_path(path.to_s)
    SupvRecorder.files << full if SupvRecorder.asked_by_user? && !SupvRecorder.files.include?(full)
    supv_load.bind_call(self, path, wrap)
  end

  define_method(:system) do |*words, **options|
    SupvRecorder.note("ran a command: #{words.last(3).join(' ')}") if SupvRecorder.asked_by_user?
    supv_system.bind_call(self, *words, **options)
  end

  define_method(:`) do |command|
    SupvRecorder.note("ran a command: #{command}") if SupvRecorder.asked_by_user?
    supv_backtick.bind_call(self, command)
  end

  # What would end the recording without a word.
  def exit!(*) = raise(SystemExit)
  def exec(*) = raise(SecurityError, 'exec would replace the importer')
  private :require, :load, :system, :`, :exit!, :exec
end

class << Kernel
  def exit!(*) = raise(SystemExit)
  def exec(*) = raise(SecurityError, 'exec would replace the importer')
end

class << Process
  def exit!(*) = raise(SystemExit)
  def exec(*) = raise(SecurityError, 'exec would replace the importer')
  def daemon(*) = SupvRecorder.note('Process.daemon was not done') || 0
end

class << ENV
  %i[\[\] fetch].each do |name|
    original = ENV.method(name).unbind
    define_method(name) do |*arguments, &block|
      if SupvRecorder.asked_by_user?
        SupvRecorder.note("reads the environment variable #{arguments.first}; " \
                          'what it is now is written down')
      end
      original.bind_call(self, *arguments, &block)
    end
  end
end

# Files see no arguments, as under god.
supv_files = ARGV.dup
ARGV.clear
SupvRecorder.singleton_class.prepend(Module.new do
  def finish
    SupvDiplomat.record
    super
  end
end)
SupvRecorder.run(supv_files)
