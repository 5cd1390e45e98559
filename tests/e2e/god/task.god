LOGS = '/srv/task/logs'

God.task do |t|
  t.name = 'task'
  t.valid_states = [:ok, :clean]
  t.initial_state = :ok
  t.interval = 5
  t.clean = "rm #{File.join(LOGS, '*.log')}"
  t.transition(:clean, :ok)
  t.transition(:ok, :clean) do |on|
    on.condition(:lambda) do |c|
      c.lambda = lambda do
        Dir[File.join(LOGS, '*.log')].size > 1
      end
    end
  end
end
