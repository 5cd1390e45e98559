# A daemon that writes its own pid file, with god's whole usual machine.
ROOT = '/srv/shop'

God.watch do |w|
  w.name = 'shop-3000'
  w.interval = 5.seconds
  w.start = "mongrel_rails start -c #{ROOT} -P #{ROOT}/log/mongrel.pid -p 3000 -d"
  w.stop = "mongrel_rails stop -P #{ROOT}/log/mongrel.pid"
  w.restart = "mongrel_rails restart -P #{ROOT}/log/mongrel.pid"
  w.pid_file = File.join(ROOT, 'log/mongrel.pid')
  w.behavior(:clean_pid_file)

  w.transition(:init, { true => :up, false => :start }) do |on|
    on.condition(:process_running) { |c| c.running = true }
  end

  w.transition([:start, :restart], :up) do |on|
    on.condition(:process_running) { |c| c.running = true }
    on.condition(:tries) do |c|
      c.times = 5
      c.transition = :start
    end
  end

  w.transition(:up, :start) { |on| on.condition(:process_exits) }

  w.transition(:up, :restart) do |on|
    on.condition(:memory_usage) do |c|
      c.interval = 20
      c.above = 50.megabytes
      c.times = [3, 5]
    end
    on.condition(:cpu_usage) do |c|
      c.interval = 10
      c.above = 10.percent
      c.times = [3, 5]
    end
    # In god's example; god has no such condition.
    on.condition(:process_time) { |c| c.alive_longer_than = 1.hour }
  end

  w.lifecycle do |on|
    on.condition(:flapping) do |c|
      c.to_state = [:start, :restart]
      c.times = 5
      c.within = 5.minute
      c.transition = :unmonitored
      c.retry_in = 10.minutes
      c.retry_times = 5
      c.retry_within = 2.hours
    end
  end
end
