God.watch do |w|
  w.name = 'running-load'
  w.start = '/srv/running/server.rb'
  w.stop = ''
  w.interval = 5
  w.grace = 2
  w.uid = 'tom'
  w.gid = 'tom'
  w.group = 'test'
  w.start_if do |start|
    start.condition(:process_running) { |c| c.running = false }
  end
end
