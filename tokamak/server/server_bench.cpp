// SPDX-License-Identifier: Apache-2.0
// What the host does for one token of one stream of a server, from the request's bytes to the event
// in the client's socket: parse, template, tokenize, schedule, make text, write JSON, send. The
// model sleeps 20 ms a step, so that every token is sent by itself and the model's time is not CPU
// time. Run it in the root of the repository, bound to one core:
//   taskset -c 0 server_bench
// us_per_token is the CPU time of all threads but the client's.

#include <benchmark/benchmark.h>
#include <sys/epoll.h>

#include "tokamak/executor/bench_session.h"
#include "tokamak/server/test_server.h"

namespace tokamak::server {
namespace {

using executor::cpu_seconds;

constexpr int64_t kTokens = 400;  ///< Of each answer.

std::unique_ptr<runtime::Session> sleeping_session(int64_t sequences, int64_t vocab_size) {
  auto session = std::make_unique<executor::BenchSession>(
      runtime::SessionInfo{.vocab_size = vocab_size,
                           .max_seq_len = 1024,
                           .max_step_tokens = 64 * sequences,
                           .max_step_rows = sequences,
                           .max_sequences = sequences,
                           .num_pages = sequences * 16});
  session->before = [] { std::this_thread::sleep_for(20ms); };
  return session;
}

/// Reads and drops what all clients get until each has its last event; returns the bytes.
int64_t read_all(const std::vector<std::unique_ptr<Client>>& clients) {
  const int poll = ::epoll_create1(EPOLL_CLOEXEC);
  for (size_t i = 0; i < clients.size(); ++i) {
    epoll_event event{.events = EPOLLIN, .data = {.u64 = i}};
    ::epoll_ctl(poll, EPOLL_CTL_ADD, clients[i]->descriptor(), &event);
  }
  int64_t bytes = 0;
  std::vector<epoll_event> events(clients.size());
  std::vector<char> buffer(1 << 16);
  for (size_t open = clients.size(); open > 0;) {
    const int ready = ::epoll_wait(poll, events.data(), static_cast<int>(events.size()), 20'000);
    if (ready <= 0) break;
    for (int i = 0; i < ready; ++i) {
      const int socket = clients[events[static_cast<size_t>(i)].data.u64]->descriptor();
      const ssize_t size = ::recv(socket, buffer.data(), buffer.size(), 0);
      const std::string_view part(buffer.data(), static_cast<size_t>(std::max<ssize_t>(0, size)));
      bytes += std::ssize(part);
      if (size > 0 && part.find("[DONE]") == part.npos) continue;
      ::epoll_ctl(poll, EPOLL_CTL_DEL, socket, nullptr);
      --open;
    }
  }
  ::close(poll);
  return bytes;
}

void streams(benchmark::State& state) {
  const int64_t count = state.range(0);
  auto tokenizer = text::Tokenizer::load("models/storyteller");
  if (!tokenizer.ok()) return state.SkipWithError(tokenizer.error().text().c_str());
  ServerOptions options;
  options.port = 0;
  options.http_threads = options.request_threads = 1;
  auto server = Server::start(options).value();
  Model model;
  model.names = {"sleeping"};
  model.executor =
      executor::Executor::start(sleeping_session(count, (*tokenizer)->vocab_size()), *tokenizer)
          .value();
  model.tokenizer = *tokenizer;
  auto executor = model.executor;
  server->serve(std::move(model));
  const std::string request =
      request_text("POST",
                   "/v1/completions",
                   Json({{"prompt", "Once upon a time there was a little mouse"},
                         {"max_tokens", kTokens},
                         {"stream", true},
                         {"ignore_eos", true}})
                       .dump());
  double server_cpu = 0;
  int64_t bytes = 0;
  for (auto _ : state) {
    std::vector<std::unique_ptr<Client>> clients;
    for (int64_t i = 0; i < count; ++i) clients.push_back(std::make_unique<Client>(server->port()));
    const double all = cpu_seconds(CLOCK_PROCESS_CPUTIME_ID);
    const double own = cpu_seconds(CLOCK_THREAD_CPUTIME_ID);
    for (auto& client : clients) client->send(request);
    bytes += read_all(clients);
    server_cpu +=
        cpu_seconds(CLOCK_PROCESS_CPUTIME_ID) - all - (cpu_seconds(CLOCK_THREAD_CPUTIME_ID) - own);
  }
  const auto tokens = static_cast<double>(executor->stats().output_tokens);
  if (tokens != static_cast<double>(state.iterations() * count * kTokens))
    return state.SkipWithError("answers were cut off");
  state.counters["us_per_token"] = 1e6 * server_cpu / tokens;
  state.counters["bytes_per_token"] = static_cast<double>(bytes) / tokens;
}
BENCHMARK(streams)->Arg(1)->Arg(64)->Arg(256)->Iterations(1)->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace tokamak::server
