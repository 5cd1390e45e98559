# A task whose states have no commands: it only prints.
$pid_file = '/tmp/matias.pid'

God.task do |w|
  w.name = 'watcher'
  w.interval = 5.seconds
  w.valid_states = [:init, :up, :down]
  w.initial_state = :init
  w.transition(:init, { true => :up, false => :down }) do |on|
    on.condition(:process_running) do |c|
      c.running = true
      c.pid_file = $pid_file
    end
  end
  w.transition(:up, :down) do |on|
    on.condition(:process_running) do |c|
      c.running = false
      c.pid_file = $pid_file
    end
    on.condition(:lambda) do |c|
      c.lambda = lambda do
        puts 'up it is'
        false
      end
    end
  end
end
