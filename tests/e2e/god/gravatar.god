# Three mongrels in a loop; the pid file is a variable that nobody uses.
CURRENT = '/var/www/avatars/current'

%w{8200 8201 8202}.each do |port|
  God.watch do |w|
    w.name = "avatars-mongrel-#{port}"
    w.interval = 30
    w.start = "mongrel_rails cluster::start --only #{port} \
      -C #{CURRENT}/config/mongrel_cluster.yml"
    w.stop = "mongrel_rails cluster::stop --only #{port} \
      -C #{CURRENT}/config/mongrel_cluster.yml"
    w.grace = 10
    pid_file = File.join(CURRENT, "log/mongrel.#{port}.pid")
    w.behavior(:clean_pid_file)
    w.start_if do |start|
      start.condition(:process_running) do |c|
        c.interval = 5
        c.running = false
      end
    end
    w.restart_if do |restart|
      restart.condition(:memory_usage) do |c|
        c.above = (150 * 1024)
        c.times = [3, 5]
      end
      restart.condition(:cpu_usage) do |c|
        c.above = 50
        c.times = 5
      end
    end
  end
end
