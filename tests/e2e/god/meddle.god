# The first versions again: a pid file at each condition, and `always` for "it is up".
God.meddle do |god|
  god.watch do |w|
    w.name = 'shop'
    w.interval = 5
    w.start = 'mongrel_rails start -P ./log/mongrel.pid -c /srv/shop -d'
    w.grace = 5
    pid_file = '/srv/shop/log/mongrel.pid'
    w.behavior(:clean_pid_file) { |b| b.pid_file = pid_file }
    w.transition(:init, { true => :up, false => :start }) do |on|
      on.condition(:process_running) do |c|
        c.running = true
        c.pid_file = pid_file
      end
    end
    w.transition([:start, :restart], :up) do |on|
      on.condition(:always) { |c| c.what = true }
    end
    w.transition(:up, :start) do |on|
      on.condition(:process_running) do |c|
        c.running = false
        c.pid_file = pid_file
      end
    end
  end
end
