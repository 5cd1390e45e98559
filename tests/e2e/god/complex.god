God.watch do |w|
  w.name = 'complex'
  w.interval = 5.seconds
  w.start = '/srv/complex/server.rb'
  w.keepalive
  w.restart_if do |on|
    on.condition(:complex) do |cc|
      cc.and(:cpu_usage) do |c|
        c.above = 0.percent
        c.times = 1
      end
      cc.and(:memory_usage) do |c|
        c.above = 0.megabytes
        c.times = 3
      end
    end
    on.condition(:complex) do |cc|
      cc.notify = 'nobody'
      cc.this(:disk_usage) do |c|
        c.mount_point = '/'
        c.above = 90.percent
      end
      cc.and_not(:file_mtime) do |c|
        c.path = '/tmp/lock'
        c.max_age = 1.hour
      end
      cc.or(:always) { |c| c.what = false }
    end
  end
end
