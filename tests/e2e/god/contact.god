# Contacts that live, contacts that died, settings that god 0.13 does not have any more.
God::Contacts::Email.message_settings = { :from => 'god@example.com' }
God::Contacts::Twitter.settings = { :username => 'bird', :password => 'sings' }
God::Contacts::Email.defaults do |d|
  d.from_email = 'god@example.com'
  d.from_name = 'God'
  d.server_host = 'smtp.example.com'
  d.server_port = 587
  d.server_auth = :plain
  d.server_domain = 'example.com'
  d.server_user = 'god'
  d.server_password = 'psalm23'
end

God.contact(:email) do |c|
  c.name = 'ann'
  c.to_email = 'ann@example.com'
  c.group = 'developers'
end
God.contact(:email) do |c|
  c.name = 'bob'
  c.to_email = 'bob@example.com'
  c.to_name = 'Bob'
  c.group = 'developers'
end
God.contact(:webhook) do |c|
  c.name = 'hook'
  c.url = 'https://example.com/hook?key=abc'
  c.format = :json
end
God.contact(:slack) do |c|
  c.name = 'chat'
  c.url = 'https://hooks.example.com/T0/B0/xyz'
  c.channel = '#ops'
end
God.contact(:statsd) do |c|
  c.name = 'counts'
  c.host = '127.0.0.1'
end
God.contact(:sensu) do |c|
  c.name = 'sense'
  c.check_name = 'god'
end
God.contact(:twitter) do |c|
  c.name = 'bird'
  c.group = 'developers'
end
God.contact(:prowl) do |c|
  c.name = 'cat'
  c.apikey = 'd31c'
end

God.watch do |w|
  w.name = 'contact'
  w.interval = 5.seconds
  w.start = 'ruby /srv/contact/server.rb'
  w.log = '/var/log/contact.log'
  w.transition(:init, { true => :up, false => :start }) do |on|
    on.condition(:process_running) { |c| c.running = true }
  end
  w.transition(:up, :start) do |on|
    on.condition(:process_exits) do |c|
      c.notify = { :contacts => ['ann', 'bird', 'developers'], :priority => 1, :category => 'product' }
    end
  end
  w.lifecycle do |on|
    on.condition(:flapping) do |c|
      c.to_state = [:start, :restart]
      c.times = 5
      c.within = 20.seconds
      c.transition = :unmonitored
      c.notify = %w[hook chat]
    end
  end
end
