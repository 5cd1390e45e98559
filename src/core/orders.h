#pragma once

#include <list>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "core/roster.h"

namespace supv {

/// How long the result of an order with an id can be asked for again.
inline constexpr Duration kKeepResults{600000};

/// What was asked for and is not answered yet, and the answers of the last ten minutes. An order is
/// one goal for each watch it names; it is answered once, when every goal is met or lost. Orders
/// with a client-made id are written down before they act, so that a client whose connection broke
/// can ask again and gets the first execution's result.
class Orders {
 public:
  /// A new order; with the same id as a known one it only joins its audience (false: nothing is to
  /// be done, the answer comes or came from the first).
  bool take(Step& step, const Request& request);
  /// What the order just taken is to reach for one watch. `done` with `ok` and `text` when it is
  /// settled already (refused, nothing to do).
  struct Goal {
    std::uint32_t watch = 0;
    std::string name;
    RunId from = RunId::none;  ///< restart: the run that must be another one
    std::uint64_t count = 0;   ///< reload, restart: what must have grown
    Request::Verb verb = Request::Verb::start;
    bool removes = false;
    bool done = false;
    bool ok = false;
    bool refused = false;
    std::string text;
  };
  void add_goal(Goal goal) { newest().goals.push_back(std::move(goal)); }
  /// All goals are named: tells the client how long it may take, writes the order down.
  void begin(Step& step, const Roster& roster, std::string text = "");
  /// The order just taken speaks last: what earlier ones still want of its watches against it is
  /// lost, now and for a later brain.
  void overtake(Step& step);
  /// The goal for `watch` in the order just taken.
  Goal& goal_of(std::uint32_t watch);
  /// What a load is going to change, for its answer.
  void set_plan(std::vector<PlanLine> plan) { newest().result.plan = std::move(plan); }
  /// Ends the order just taken at once.
  void answer(Step& step, Report report);
  /// The order whose load has this ticket becomes the newest again; false when it is unknown.
  bool resume(std::uint64_t ticket);
  void set_ticket(std::uint64_t ticket) { newest().ticket = ticket; }

  /// Something happened to watches: looks which goals are met.
  void look(Step& step, const Roster& roster);
  /// A client has gone; waits without an id end with it.
  void forget_client(ClientId client);
  /// Results older than ten minutes are dropped.
  std::optional<Time> deadline() const;
  void on_deadline(Step& step);

  /// Orders written by an earlier brain; those that were under way are returned, to be carried out
  /// where that has not happened yet, and are looked at from now on.
  struct Unfinished {
    Request request;
    std::vector<Goal> goals;
  };
  static bool ends_supvd(const Memory& memory);
  std::vector<Unfinished> restore(const Memory& memory, Moment now, const Roster& roster);

 private:
  struct Order {
    Request request;
    std::vector<std::pair<ClientId, std::uint64_t>> audience;
    std::vector<Goal> goals;
    std::uint64_t ticket = 0;
    bool begun = false;
    bool done = false;
    Report result;
    Time expires{};
  };

  Order& newest() { return orders_.back(); }
  void finish(Step& step, Order& order);
  void write_down(Step& step, const Order& order) const;
  static void judge(Goal& goal, const Request& request, const Watch* watch);

  std::list<Order> orders_;
};

}  // namespace supv
