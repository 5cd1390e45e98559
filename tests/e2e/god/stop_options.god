God.watch do |w|
  w.name = 'stop-options'
  w.start = '/srv/stop/server.rb'
  w.stop_signal = 'USR1'
  w.stop_timeout = 5
  w.interval = 5
  w.grace = 2
  w.start_if do |start|
    start.condition(:process_running) { |c| c.running = false }
  end
end
