// SPDX-License-Identifier: Apache-2.0
#include "tokamak/executor/executor.h"

#include <mutex>
#include <random>

#include "tokamak/executor/step_loop.h"
#include "tokamak/executor/watchdog.h"
#include "tokamak/runtime/philox.h"

namespace tokamak::executor {
namespace {

uint64_t entropy() {
  std::random_device device;
  return uint64_t{device()} << 32 | device();
}

Result<void> validate_session(const runtime::SessionInfo& info) {
  const int64_t least = std::min({info.vocab_size,
                                  info.max_seq_len,
                                  info.max_step_tokens,
                                  info.max_step_rows,
                                  info.max_sequences,
                                  info.num_pages});
  if (least >= 1) return {};
  return base::invalid(fmt::format(
      "the session cannot serve: vocab_size {}, max_seq_len {}, max_step_tokens {}, max_step_rows "
      "{}, max_sequences {}, num_pages {}, each must be at least 1",
      info.vocab_size,
      info.max_seq_len,
      info.max_step_tokens,
      info.max_step_rows,
      info.max_sequences,
      info.num_pages));
}

}  // namespace

Result<std::unique_ptr<Executor>> Executor::start(std::unique_ptr<runtime::Session> session,
                                                  std::shared_ptr<const text::Tokenizer> tokenizer,
                                                  ExecutorOptions options) {
  TKM_RETURN_IF_ERROR(validate_session(session->info()));
  TKM_RETURN_IF_ERROR(options.validate(session->info().vocab_size));
  if (options.eos_ids.empty() && tokenizer && tokenizer->eos_id()) {
    options.eos_ids.push_back(*tokenizer->eos_id());
  }
  return std::unique_ptr<Executor>(
      new Executor(std::move(session), std::move(tokenizer), std::move(options)));
}

Executor::Executor(std::unique_ptr<runtime::Session> session,
                   std::shared_ptr<const text::Tokenizer> tokenizer,
                   ExecutorOptions options)
    : info_(session->info()),
      tokenizer_(std::move(tokenizer)),
      options_(std::move(options)),
      random_seed_(entropy()),
      inbox_(std::make_shared<Inbox>(options_.max_queue)),
      loop_(std::make_shared<StepLoop>(std::move(session), options_, inbox_)),
      watchdog_(std::make_shared<Watchdog>(options_.step_timeout_seconds, loop_, inbox_)),
      thread_([loop = loop_, watchdog = watchdog_] {
        loop->run();
        watchdog->loop_ended();
      }) {}

Executor::~Executor() {
  stop();
}

uint64_t Executor::seed_of(const Request& request, uint64_t number) const {
  if (request.sampling.seed >= 0) return static_cast<uint64_t>(request.sampling.seed);
  return runtime::philox_bits(random_seed_, number);
}

Result<std::shared_ptr<TokenStream>> Executor::submit(Request request) {
  TKM_RETURN_IF_ERROR(validate(request, info_));
  if (!tokenizer_ && !request.sampling.stop.empty()) {
    return base::unsupported("stop texts need a tokenizer, and this executor has none",
                             "use stop_token_ids");
  }
  const uint64_t number = next_number_++;
  const uint64_t seed = seed_of(request, number);
  const TimePoint arrival = options_.now();
  const TimePoint since = queued_since(arrival, request.priority, options_.priority_seconds);
  std::string id = request.id;
  Answer answer(request, tokenizer_, options_.eos_ids);
  answer.suppress(options_.suppressed_ids, options_.begin_suppressed_ids);
  auto active = std::make_unique<ActiveRequest>(
      std::move(request), number, seed, std::move(answer), arrival, since);
  auto responses = active->responses();
  TKM_RETURN_IF_ERROR(inbox_->put(std::move(active)));
  watchdog_->add(responses);
  return std::make_shared<TokenStream>(
      std::move(id), std::move(responses), [inbox = inbox_] { inbox->wake(); });
}

void Executor::drain() {
  inbox_->close();
  inbox_->wait_idle();
}

void Executor::stop() {
  inbox_->stop();
  std::call_once(joined_, [this] {
    if (watchdog_->wait_for_loop()) {
      thread_.detach();  // It may never return; what it uses is its own, too.
    } else {
      thread_.join();
    }
  });
}

std::optional<Error> Executor::failure() const {
  return inbox_->failure();
}

ExecutorStats Executor::stats() const {
  return loop_->stats();
}

}  // namespace tokamak::executor
