# The form of god's first versions.
God.meddle do |god|
  god.interval = 60
  god.watch do |w|
    w.name = 'shop'
    w.cwd = '/srv/shop'
    w.start = 'mongrel_rails start -P ./log/mongrel.pid -d'
    w.stop = 'mongrel_rails stop -P ./log/mongrel.pid'
    w.grace = 5
    pid_file = '/srv/shop/log/mongrel.pid'
    w.start_if do |start|
      start.condition(:process_not_running) { |c| c.pid_file = pid_file }
    end
    w.restart_if do |restart|
      restart.condition(:memory_usage) do |c|
        c.pid_file = pid_file
        c.above = (50 * 1024)
        c.times = [3, 5]
      end
    end
  end
end
