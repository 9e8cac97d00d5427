// SPDX-License-Identifier: Apache-2.0
#include "tokamak/server/generation.h"

#include <mutex>

#include <gtest/gtest.h>

#include "tokamak/executor/fake_session.h"
#include "tokamak/server/test_server.h"

namespace tokamak::server {
namespace {

/// An exchange whose loop is the test's thread.
class Recorder : public Exchange {
 public:
  Recorder() : Exchange({.method = "POST", .path = "/v1/completions"}) {}

  bool gone() const override { return is_gone; }
  void respond(HttpResponse response) override { answer = std::move(response); }
  void run(std::shared_ptr<Job> started) override {
    job = std::move(started);
    job->start();
  }
  void post(std::function<void()> task) override {
    std::lock_guard lock(mutex_);
    tasks_.push_back(std::move(task));
  }
  void work(int64_t bytes, std::function<void()> task) override {
    worked_bytes = bytes;
    task();
  }
  void begin_stream(HttpResponse) override { FAIL() << "the answer is whole"; }
  void write(std::string_view) override {}
  void end_stream() override {}
  void abort() override {}

  bool is_answered() {
    std::vector<std::function<void()>> tasks;
    {
      std::lock_guard lock(mutex_);
      tasks.swap(tasks_);
    }
    for (auto& task : tasks) task();
    return answer.has_value();
  }

  bool is_gone = false;
  std::shared_ptr<Job> job;
  std::optional<HttpResponse> answer;
  std::optional<int64_t> worked_bytes;

 private:
  std::mutex mutex_;
  std::vector<std::function<void()>> tasks_;
};

class SizedAnswer : public AnswerWriter {
 public:
  explicit SizedAnswer(int64_t bytes) : bytes_(bytes) {}
  bool streams() const override { return false; }
  void take(size_t, executor::Response, std::string&) override {}
  void end(std::string&) override {}
  bool fail(const Fault&, std::string&) override { return true; }
  HttpResponse head() const override { return {}; }
  HttpResponse whole() override {
    HttpResponse response;
    response.body = std::string(static_cast<size_t>(bytes_), 'a');
    return response;
  }
  int64_t whole_bytes() const override { return bytes_; }

 private:
  const int64_t bytes_;
};

struct Generations {
  Generations() {
    auto made = std::make_shared<Model>();
    made->names = {"fake"};
    made->executor =
        executor::Executor::start(
            std::make_unique<executor::FakeSession>(runtime::SessionInfo{.vocab_size = 64,
                                                                         .max_seq_len = 64,
                                                                         .max_step_tokens = 64,
                                                                         .max_step_rows = 8,
                                                                         .max_sequences = 8,
                                                                         .num_pages = 16}),
            executor::letter_tokenizer(64))
            .value();
    model = made;
    service.serve(made);
  }
  std::shared_ptr<Recorder> run(int64_t answer_bytes, size_t num_requests, bool gone = false) {
    auto exchange = std::make_shared<Recorder>();
    exchange->is_gone = gone;
    executor::Request request;
    request.prompt = {1, 2};
    request.sampling.max_tokens = 3;
    GenerationPlan plan;
    plan.model = model;
    plan.requests.assign(num_requests, request);
    plan.writer = std::make_unique<SizedAnswer>(answer_bytes);
    generate(service, exchange, std::move(plan));
    return exchange;
  }
  Service service{ServerOptions()};
  std::shared_ptr<const Model> model;
};

TEST(Generation, MakesALongAnswerOutsideOfTheLoop) {
  Generations test;
  auto small = test.run(1000, 2);
  ASSERT_TRUE(eventually([&] { return small->is_answered(); }));
  EXPECT_FALSE(small->worked_bytes);
  auto large = test.run(1 << 20, 2);
  ASSERT_TRUE(eventually([&] { return large->is_answered(); }));
  EXPECT_EQ(large->worked_bytes, 1 << 20);
  EXPECT_EQ(large->answer->body.size(), 1u << 20);
}

TEST(Generation, OfNothingIsAnErrorInsteadOfNoAnswer) {
  Generations test;
  auto none = test.run(10, 0);
  ASSERT_TRUE(none->is_answered());
  EXPECT_EQ(none->answer->status, 500);
}

TEST(Generation, IsNotBegunForAClientThatHasGone) {
  Generations test;
  auto gone = test.run(10, 1, /*gone=*/true);
  EXPECT_FALSE(gone->is_answered());
  EXPECT_FALSE(gone->job);
  EXPECT_EQ(test.model->executor->stats().requests, 0);
}

}  // namespace
}  // namespace tokamak::server
