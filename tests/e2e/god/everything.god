RAILS_ROOT = "/srv/app"
God::Contacts::Email.defaults do |d|
  d.from_email = 'god@example.com'
  d.from_name = 'God'
  d.delivery_method = :smtp
  d.server_host = 'mail.example.com'
  d.server_port = 587
  d.server_auth = :plain
  d.server_user = 'u'
  d.server_password = 'secret'
end
God.contact(:email) { |c| c.name='tom'; c.group='devs'; c.to_email='tom@example.com' }
God.contact(:webhook) { |c| c.name='hook'; c.url='http://127.0.0.1:9000/x'; c.format = :json }
God.contact(:slack) { |c| c.name='sl'; c.url='https://hooks.slack.com/x'; c.channel='#ops' }
God.contact(:statsd) { |c| c.name='st'; c.host='stats.example.com'; c.port = 8125 }
God.contact(:sensu) { |c| c.name='se'; c.check_name='god'; c.host='localhost'; c.port=3030; c.status_code=1 }
God.contact(:jabber) { |c| c.name='jb'; c.host='x'; c.from_jid='a'; c.to_jid='b'; c.password='p' }
%w{8200 8201 8202}.each do |port|
  God.watch do |w|
    w.name = "mongrel-#{port}"
    w.group = 'mongrels'
    w.interval = 30.seconds
    w.start = "cd #{RAILS_ROOT} && RAILS_ENV=production mongrel_rails start -p #{port} -P log/mongrel.#{port}.pid -d"
    w.stop = "mongrel_rails stop -P log/mongrel.#{port}.pid"
    w.restart = "mongrel_rails restart -P log/mongrel.#{port}.pid"
    w.start_grace = 10.seconds
    w.restart_grace = 10.seconds
    w.pid_file = File.join(RAILS_ROOT, "log/mongrel.#{port}.pid")
    w.uid = 'daemon'
    w.behavior(:clean_pid_file)
    w.start_if do |start|
      start.condition(:process_running) { |c| c.interval = 5.seconds; c.running = false; c.notify = {:contacts => ['devs', 'hook'], :priority => 1, :category => 'product'} }
    end
    w.restart_if do |restart|
      restart.condition(:memory_usage) { |c| c.above = 150.megabytes; c.times = [3, 5]; c.notify='tom' }
      restart.condition(:cpu_usage) { |c| c.above = 50.percent; c.times = 5 }
      restart.condition(:http_response_code) { |c| c.host='localhost'; c.port=port; c.path='/'; c.code_is_not=[200,302]; c.timeout=5.seconds; c.times=[4,5] }
      restart.condition(:disk_usage) { |c| c.mount_point='/'; c.above=100.percent }
      restart.condition(:file_touched) { |c| c.path='tmp/restart.txt' }
      restart.condition(:file_mtime) { |c| c.path='/x'; c.max_age=60 }
      restart.condition(:socket_responding) { |c| c.socket="tcp:localhost:#{port}" }
      restart.condition(:socket_responding) { |c| c.family='unix'; c.path='/tmp/s.sock'; c.responding=false }
      restart.condition(:degrading_lambda) { |c| c.lambda = lambda { system("true") } }
      restart.condition(:lambda) { |c| c.lambda = lambda { File.exist?('/tmp/restart') } }
      restart.condition(:complex) do |c|
        c.this(:cpu_usage) { |x| x.above = 50.percent }
        c.and(:memory_usage) { |x| x.above = 10.megabytes }
        c.or_not(:process_running) { |x| x.running = true }
      end
      restart.condition(:always) { |c| c.what = false }
    end
    w.stop_if { |s| s.condition(:disk_usage) { |c| c.mount_point='/data'; c.above=95.percent } }
    w.lifecycle do |on|
      on.condition(:flapping) do |c|
        c.to_state = [:start, :restart]
        c.times = 5
        c.within = 5.minute
        c.transition = :unmonitored
        c.retry_in = 10.minutes
        c.retry_times = 5
        c.retry_within = 2.hours
        c.notify = 'tom'
      end
      on.condition(:disk_usage) { |c| c.mount_point='/'; c.above=90.percent; c.interval=60.seconds; c.notify='st' }
    end
  end
end
God.watch do |w|
  w.name='resque'; w.interval=30.seconds; w.start='rake resque:work'; w.env={'QUEUE'=>'*'}; w.log='/var/log/resque.log'
  w.unix_socket='/tmp/r.sock'; w.behavior(:clean_unix_socket)
  w.behavior(:notify_when_flapping) { |b| b.failures=5; b.seconds=60.seconds; b.notifier = nil }
  w.transition(:init, { true => :up, false => :start }) { |on| on.condition(:process_running) { |c| c.running = true } }
  w.transition([:start, :restart], :up) do |on|
    on.condition(:process_running) { |c| c.running = true; c.interval = 5.seconds }
    on.condition(:tries) { |c| c.times = 5; c.transition = :start; c.interval = 5.seconds }
  end
  w.transition(:up, :start) { |on| on.condition(:process_exits) { |c| c.notify='sl' } }
  w.transition(:up, :restart) { |on| on.condition(:memory_usage) { |c| c.interval=20; c.above=350.megabytes; c.times=[3,5] } }
  w.transition(:up, :unmonitored) { |on| on.condition(:lambda) { |c| c.lambda = lambda { false } } }
end
God.task do |t|
  t.name='disk'; t.valid_states=[:ok, :clean]; t.initial_state=:ok; t.interval=1.minute
  t.clean='/usr/local/bin/clean'
  t.transition(:ok, :clean) { |on| on.condition(:disk_usage) { |c| c.mount_point='/'; c.above=99.percent } }
  t.transition(:clean, :ok)
end
