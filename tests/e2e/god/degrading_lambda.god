God.watch do |w|
  w.name = 'degrading-lambda'
  w.start = File.join(File.dirname(__FILE__), 'tcp_server.rb')
  w.interval = 5
  w.grace = 2
  w.uid = 'kev'
  w.gid = 'kev'
  w.group = 'test'
  w.start_if do |start|
    start.condition(:process_running) { |c| c.running = false }
  end
  w.restart_if do |restart|
    restart.condition(:degrading_lambda) do |c|
      require 'socket'
      c.lambda = lambda {
        begin
          peer = TCPSocket.open('127.0.0.1', 9090)
          peer.send "2\n", 0
          answer = peer.gets
          peer.close
          answer
        rescue
          false
        end
      }
    end
  end
end
