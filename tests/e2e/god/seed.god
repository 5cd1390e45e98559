# The file that started it all: Sidekiq, restarted when a key in Consul changes.
require 'diplomat'

RAILS_ROOT = File.dirname(__FILE__)

module God
  module Conditions
    class KvChanged < PollCondition
      attr_accessor :key

      def prepare
        @timeline = Timeline.new(2)
      end

      def reset
        @timeline.clear
      end

      def test
        value = Diplomat::Kv.get(key)
        @timeline.push(value)
        !@timeline.all? { |sample| sample == value }
      end
    end
  end
end

God.watch do |w|
  w.name = 'sidekiq'
  w.dir = RAILS_ROOT
  w.env = { 'RAILS_ROOT' => RAILS_ROOT, 'RAILS_ENV' => 'production' }
  w.start = 'bundle exec sidekiq -P tmp/pids/sidekiq.pid -d'
  w.pid_file = File.join(RAILS_ROOT, 'tmp/pids/sidekiq.pid')
  w.keepalive
  w.restart_if do |on|
    on.condition(:kv_changed) do |c|
      c.key = 'devops/automationtesting-backend'
      c.interval = 5.seconds
    end
  end
end
