God.contact(:twitter) do |c|
  c.name = 'bird'
  c.group = 'developers'
end

God.watch do |w|
  w.name = 'lifecycle'
  w.interval = 5.seconds
  w.start = '/dev/null'
  w.lifecycle do |on|
    on.condition(:always) do |c|
      c.what = true
      c.notify = 'bird'
    end
  end
end
