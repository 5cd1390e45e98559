# A Sidekiq application in one file.
require "sidekiq"

Redis.silence_deprecations = true if Redis.respond_to?(:silence_deprecations=)

class Greeting
  include Sidekiq::Worker

  def perform(name)
    logger.info("Hello, #{name}")
  end
end
