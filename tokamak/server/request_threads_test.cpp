// SPDX-License-Identifier: Apache-2.0
#include "tokamak/server/request_threads.h"

#include <atomic>
#include <functional>
#include <future>
#include <stdexcept>
#include <string>

#include <gtest/gtest.h>

namespace tokamak::server {
namespace {

constexpr int64_t kLarge = 8 << 20;

/// One thread, held until open(), so that what is posted meanwhile waits; the order in which it is
/// then served.
class Gate {
 public:
  explicit Gate(int64_t max_waiting = 1000) : threads_(1, max_waiting) {
    std::promise<void> held;
    threads_.post(-1, 0, [this, &held] {
      held.set_value();
      opened_.get_future().wait();
    });
    held.get_future().wait();
  }
  ~Gate() {
    if (!open_) opened_.set_value();
  }
  bool post(std::string name, int64_t cost_bytes, int owner = -1) {
    return threads_.post(owner, cost_bytes, [this, name = std::move(name)] { order_ += name; });
  }
  /// A name for each that was served, in order.
  std::string open() {
    std::promise<void> last;
    threads_.post(-1, int64_t{1} << 40, [&] { last.set_value(); });
    open_ = true;
    opened_.set_value();
    last.get_future().wait();
    return order_;
  }

 private:
  std::promise<void> opened_;
  bool open_ = false;
  std::string order_;
  RequestThreads threads_;
};

TEST(RequestThreads, ServeEqualsInTheOrderOfTheirComing) {
  Gate gate;
  for (const char* name : {"a", "b", "c", "d"}) gate.post(name, 100);
  EXPECT_EQ(gate.open(), "abcd");
}

TEST(RequestThreads, ServeAShortRequestBeforeLongOnesThatCameEarlier) {
  Gate gate;
  for (int i = 0; i < 50; ++i) gate.post("L", kLarge);
  gate.post("s", 100);
  EXPECT_TRUE(gate.open().starts_with("sL"));
}

TEST(RequestThreads, LetShortRequestsKeepALongOneWaitingOnlySoLong) {
  RequestThreads threads(1, 1000);
  std::atomic<int> num_short{0};
  std::promise<int> seen;
  // Each short one asks for the next: there is always one that waits.
  std::function<void()> next = [&] {
    if (++num_short < 100'000) threads.post(-1, 0, next);
  };
  threads.post(-1, 0, [&] {
    threads.post(-1, 400'000, [&] { seen.set_value(num_short); });
    next();
  });
  EXPECT_LT(seen.get_future().get(), 400);
  threads.stop();
}

TEST(RequestThreads, DivideTheirTimeByKeyAndThenByRequest) {
  Gate gate;
  for (int i = 0; i < 20; ++i) gate.post("g", 10'000, /*owner=*/1);
  gate.post("a", 10'000, /*owner=*/2);
  gate.post("b", 10'000, /*owner=*/2);
  const std::string order = gate.open();
  EXPECT_LT(order.find('a'), 3u) << order;
  EXPECT_LT(order.find('b'), 5u) << order;
}

TEST(RequestThreads, RefuseMoreThanMayWait) {
  Gate gate(/*max_waiting=*/3);
  EXPECT_TRUE(gate.post("a", 1));
  EXPECT_TRUE(gate.post("b", 1));
  EXPECT_TRUE(gate.post("c", 1));
  EXPECT_FALSE(gate.post("d", 1));
}

TEST(RequestThreads, OutliveATaskThatThrows) {
  RequestThreads threads(1, 10);
  threads.post(-1, 0, [] { throw std::runtime_error("of a test"); });
  std::promise<void> done;
  threads.post(-1, 0, [&] { done.set_value(); });
  done.get_future().wait();
}

}  // namespace
}  // namespace tokamak::server
