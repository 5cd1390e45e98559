# As single.god with bare numbers, and without tries and flapping.
God.watch do |w|
  w.name = 'shop'
  w.interval = 5
  w.start = 'mongrel_rails start -P ./log/mongrel.pid -c /srv/shop -d'
  w.stop = 'mongrel_rails stop -P ./log/mongrel.pid -c /srv/shop'
  w.pid_file = '/srv/shop/log/mongrel.pid'
  w.behavior(:clean_pid_file)
  w.transition(:init, { true => :up, false => :start }) do |on|
    on.condition(:process_running) { |c| c.running = true }
  end
  w.transition([:start, :restart], :up) do |on|
    on.condition(:process_running) { |c| c.running = true }
  end
  w.transition(:up, :start) { |on| on.condition(:process_exits) }
  w.transition(:up, :restart) do |on|
    on.condition(:memory_usage) do |c|
      c.interval = 20
      c.above = (50 * 1024)
      c.times = [3, 5]
    end
  end
end
