God.watch do |w|
  w.name = 'daemon-events'
  w.interval = 5.seconds
  w.start = '/usr/bin/ruby ' + File.join(File.dirname(__FILE__), 'simple_server.rb') + ' start'
  w.stop = '/usr/bin/ruby ' + File.join(File.dirname(__FILE__), 'simple_server.rb') + ' stop'
  w.pid_file = '/var/run/daemon-events.pid'
  w.behavior(:clean_pid_file)
  w.transition(:init, { true => :up, false => :start }) do |on|
    on.condition(:process_running) { |c| c.running = true }
  end
  w.transition([:start, :restart], :up) do |on|
    on.condition(:process_running) { |c| c.running = true }
    on.condition(:tries) do |c|
      c.times = 2
      c.transition = :start
    end
  end
  w.transition(:up, :start) { |on| on.condition(:process_exits) }
end
