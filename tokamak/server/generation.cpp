// SPDX-License-Identifier: Apache-2.0
#include "tokamak/server/generation.h"

#include <atomic>

namespace tokamak::server {
namespace {

using executor::FinishReason;
using executor::Response;

constexpr int64_t kMostBytesInLoop = 256 << 10;

bool is_empty(const Response& response) {
  return response.tokens.empty() && response.text.empty() && response.prompt_logprobs.empty() &&
         !response.finish;
}

/// About what is kept of a response until the whole answer is sent.
int64_t kept_bytes(const Response& response) {
  constexpr int64_t kTokenBytes = 8, kLogprobBytes = 48;
  int64_t scores = 0;
  for (const auto* list : {&response.logprobs, &response.prompt_logprobs}) {
    for (const executor::TokenLogprobs& token : *list) scores += 1 + std::ssize(token.top);
  }
  return std::ssize(response.text) + kTokenBytes * std::ssize(response.tokens) +
         kLogprobBytes * scores;
}

/// Of all requests of one exchange. A connection has one exchange at a time, so those of a key's
/// connections take turns.
uint64_t next_group() {
  static std::atomic<uint64_t> last{0};
  return ++last;
}

/// What the server does not do for these requests, if there is anything.
Result<void> check_plan(const ServerOptions& options, const GenerationPlan& plan) {
  if (plan.requests.empty())
    return base::internal_error("a generation without requests would never end");
  for (const executor::Request& request : plan.requests) {
    if (request.priority == 0 || options.allow_priority) continue;
    return base::invalid(
        fmt::format("priority is {}, but requests have no priorities here", -request.priority),
        "leave it out or send 0; the server takes others with --allow-priority");
  }
  return plan.writer->check_size(options.max_answer_bytes);
}

/// Why an answer cannot be given, if it cannot.
std::optional<Fault> fault_in(const executor::Finish& finish) {
  if (finish.reason == FinishReason::kError) {
    return fault_of(finish.error.value_or(base::internal_error("an error without a reason")));
  }
  if (finish.reason == FinishReason::kCancelled) return shutting_down();
  return {};
}

class Generation;

/// What the step loop's thread may touch of a generation. It must never hold the generation itself:
/// were it the last to, it would destroy the executor, and so wait for itself.
struct Waker {
  std::weak_ptr<Exchange> exchange;
  std::weak_ptr<Generation> generation;
  std::atomic<bool> woken{false};
};

class Generation : public Job, public std::enable_shared_from_this<Generation> {
 public:
  Generation(Service& service, const std::shared_ptr<Exchange>& exchange, GenerationPlan plan)
      : service_(service),
        exchange_(exchange),
        wire_(wire_of(exchange->request().path)),
        model_(std::move(plan.model)),
        writer_(std::move(plan.writer)) {}

  void add(std::shared_ptr<executor::TokenStream> stream, int64_t num_answers) {
    streams_.push_back({std::move(stream), num_answers, num_answers > 1, {}});
    ++open_;
  }

  void start() override {
    auto waker = std::make_shared<Waker>();
    waker->exchange = exchange_;
    waker->generation = weak_from_this();
    for (Stream& stream : streams_) stream.stream->set_listener([waker] { wake(waker); });
  }

  void written() override {
    writing_ = false;
    pump();
  }

  void stop() override {
    if (ended_) return;
    fault_ = shutting_down();
    pump();
  }

 private:
  struct Stream {
    std::shared_ptr<executor::TokenStream> stream;  // Null when all answers have ended.
    int64_t open_answers = 1;
    bool several = false;
    std::optional<executor::TimePoint> last_token;
  };

  /// From the step loop's thread.
  static void wake(const std::shared_ptr<Waker>& waker) {
    if (waker->woken.exchange(true)) return;
    if (auto exchange = waker->exchange.lock()) {
      exchange->post([waker] {
        waker->woken = false;
        if (auto self = waker->generation.lock()) self->pump();
      });
    }
  }

  void pump() {
    auto exchange = exchange_.lock();
    if (writing_ || ended_ || !exchange) return;
    out_.clear();
    for (size_t i = 0; i < streams_.size() && !fault_; ++i) drain(i);
    if (fault_ || open_ == 0) {
      end(*exchange);
    } else if (!out_.empty()) {
      send(*exchange);
    }
  }

  void drain(size_t index) {
    Stream& stream = streams_[index];
    while (stream.stream) {
      auto response = stream.stream->next(std::chrono::nanoseconds(0));
      if (!response || is_empty(*response)) break;
      take(index, std::move(*response));
      if (fault_ || !stream.several) break;
    }
  }

  void take(size_t index, Response response) {
    Stream& stream = streams_[index];
    const auto now = executor::Clock::now();
    const auto num_tokens = static_cast<int64_t>(response.tokens.size());
    if (stream.last_token && num_tokens > 0 && !stream.several) {
      service_.metrics.inter_token(now - *stream.last_token, num_tokens);
    }
    if (num_tokens > 0) stream.last_token = now;
    if (response.finish) {
      service_.metrics.finished(*response.finish);
      fault_ = fault_in(*response.finish);
      if (fault_) return;
      if (--stream.open_answers == 0) {
        stream.stream.reset();
        --open_;
      }
    }
    if (!writer_->streams()) keep(response);
    if (!fault_) writer_->take(index, std::move(response), out_);
  }

  void keep(const Response& response) {
    const int64_t limit = service_.options.max_answer_bytes;
    kept_bytes_ += kept_bytes(response);
    if (kept_bytes_ <= limit) return;
    const Error error = base::invalid(
        fmt::format("the answers have more than {} bytes together, which is the limit", limit),
        "stream them, or ask for fewer; the server's --max-answer-bytes sets the limit");
    fault_ = bad_request(error.text());
  }

  void send(Exchange& exchange) {
    if (!begun_) exchange.begin_stream(writer_->head());
    begun_ = true;
    writing_ = true;
    exchange.write(out_);
  }

  void end(Exchange& exchange) {
    ended_ = true;
    streams_.clear();  // What has not ended yet is cancelled.
    if (fault_ && !begun_) return exchange.respond(error_response(wire_, *fault_));
    if (!writer_->streams()) return respond_whole(exchange);
    if (!fault_) {
      writer_->end(out_);
    } else if (!writer_->fail(*fault_, out_)) {
      return exchange.abort();
    }
    send(exchange);
    exchange.end_stream();
  }

  /// A long answer is made on a request thread, as others wait for the loop.
  void respond_whole(Exchange& exchange) {
    const int64_t bytes = writer_->whole_bytes();
    if (bytes <= kMostBytesInLoop) return exchange.respond(writer_->whole());
    exchange.work(bytes, [weak = exchange_, writer = writer_] {
      auto here = weak.lock();
      if (here && !here->gone()) here->respond(writer->whole());
    });
  }

  Service& service_;
  const std::weak_ptr<Exchange> exchange_;
  const Wire wire_;
  const std::shared_ptr<const Model> model_;
  const std::shared_ptr<AnswerWriter> writer_;
  std::vector<Stream> streams_;
  size_t open_ = 0;
  int64_t kept_bytes_ = 0;
  std::optional<Fault> fault_;
  std::string out_;
  bool writing_ = false, begun_ = false, ended_ = false;
};

}  // namespace

void generate(Service& service, const std::shared_ptr<Exchange>& exchange, GenerationPlan plan) {
  const Wire wire = wire_of(exchange->request().path);
  if (auto status = check_plan(service.options, plan); !status.ok()) {
    return exchange->respond(error_response(wire, fault_of(status.error())));
  }
  if (exchange->gone()) return;
  for (const executor::Request& request : plan.requests) {
    if (auto fault = length_fault(request, plan.model->info(), plan.names)) {
      return exchange->respond(error_response(wire, *fault));
    }
  }
  const executor::Owner owner{exchange->request().key, next_group()};
  executor::Executor& executor = *plan.model->executor;
  std::vector<executor::Request> requests = std::move(plan.requests);
  auto generation = std::make_shared<Generation>(service, exchange, std::move(plan));
  for (executor::Request& request : requests) {
    const int64_t num_answers = request.n;
    request.owner = owner;
    service.metrics.asked(request);
    auto stream = executor.submit(std::move(request));
    if (!stream.ok()) {
      return exchange->respond(
          error_response(wire, service.draining() ? shutting_down() : fault_of(stream.error())));
    }
    generation->add(std::move(*stream), num_answers);
  }
  exchange->run(std::move(generation));
}

}  // namespace tokamak::server
