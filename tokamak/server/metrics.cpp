// SPDX-License-Identifier: Apache-2.0
#include "tokamak/server/metrics.h"

#include <map>
#include <mutex>
#include <vector>

#include <prometheus/counter.h>
#include <prometheus/gauge.h>
#include <prometheus/histogram.h>
#include <prometheus/registry.h>
#include <prometheus/text_serializer.h>

#include "tokamak/base/fields.h"
#include "tokamak/op/batch.h"
#include "tokamak/server/metrics_aliases.h"
#include "tokamak/server/model.h"

namespace tokamak::server {
namespace {

using prometheus::BuildCounter;
using prometheus::BuildGauge;
using prometheus::BuildHistogram;
using prometheus::Counter;
using prometheus::Gauge;
using prometheus::Histogram;
using Buckets = Histogram::BucketBoundaries;

double seconds(std::chrono::nanoseconds time) {
  return std::chrono::duration<double>(time).count();
}

const Buckets kSeconds = {0.001, 0.002, 0.003, 0.005, 0.0075, 0.01, 0.015, 0.02, 0.03, 0.05,
                          0.075, 0.1,   0.15,  0.2,   0.3,    0.5,  0.75,  1,    1.5,  2,
                          3,     5,     7.5,   10,    15,     30,   60,    120,  300,  600};
const Buckets kTokens = {
    1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10000, 20000, 50000, 100000};
const Buckets kStepTokens(executor::kStepTokenBounds.begin(), executor::kStepTokenBounds.end());
const Buckets kPreemptions = {0, 1, 2, 5, 10, 20, 50, 100};
const Buckets kAnswers = {1, 2, 3, 4, 5, 10, 20, 50, 100};

}  // namespace

/// Created with the model's labels, so that nothing is published before there is a model.
struct ModelMetrics {
  ModelMetrics(prometheus::Registry& registry, const Model& model)
      : registry(registry), labels{{"model_name", model.name()}, {"engine", "0"}} {
    prometheus::Labels all = labels;
    all["block_size"] = std::to_string(op::kPageTokens);
    all["num_gpu_blocks"] = std::to_string(model.info().num_pages);
    all["max_model_len"] = std::to_string(model.info().max_seq_len);
    BuildGauge()
        .Name("tokamak:cache_config_info")
        .Help("Always 1; the labels say how large the KV cache and its pages are.")
        .Register(registry)
        .Add(all)
        .Set(1);
  }

  Histogram& histogram(const std::string& name, const std::string& help, const Buckets& buckets) {
    return BuildHistogram().Name(name).Help(help).Register(registry).Add(labels, buckets);
  }
  Counter& counter(const std::string& name, const std::string& help) {
    return BuildCounter().Name(name).Help(help).Register(registry).Add(labels);
  }
  Gauge& gauge(const std::string& name, const std::string& help) {
    return BuildGauge().Name(name).Help(help).Register(registry).Add(labels);
  }
  Counter& finished(executor::FinishReason reason) {
    prometheus::Labels all = labels;
    all["finished_reason"] = std::string(base::enum_name(reason));
    return successes.Add(all);
  }

  Gauge& waiting_for(const std::string& reason) {
    prometheus::Labels all = labels;
    all["reason"] = reason;
    return waiting_by_reason.Add(all);
  }

  void raise_step_tokens(const executor::StepTokens& now) {
    if (now.sum <= told_step_tokens.sum) return;  // A scrape that was overtaken has older figures.
    std::vector<double> more;
    for (size_t i = 0; i < now.steps.size(); ++i)
      more.push_back(static_cast<double>(now.steps[i] - told_step_tokens.steps[i]));
    step_tokens.ObserveMultiple(more, static_cast<double>(now.sum - told_step_tokens.sum));
    told_step_tokens = now;
  }

  prometheus::Registry& registry;
  const prometheus::Labels labels;
  Histogram& first_token = histogram("tokamak:time_to_first_token_seconds",
                                     "From a request's arrival to its first token.",
                                     kSeconds);
  Histogram& inter_token = histogram(
      "tokamak:inter_token_latency_seconds", "Between two tokens of one answer.", kSeconds);
  Histogram& per_token = histogram("tokamak:request_time_per_output_token_seconds",
                                   "Mean of one answer, without its first token.",
                                   kSeconds);
  Histogram& end_to_end = histogram(
      "tokamak:e2e_request_latency_seconds", "From a request's arrival to its end.", kSeconds);
  Histogram& queue = histogram("tokamak:request_queue_time_seconds",
                               "From a request's arrival to its first KV page.",
                               kSeconds);
  Histogram& prefill = histogram("tokamak:request_prefill_time_seconds",
                                 "From the first KV page to the first token.",
                                 kSeconds);
  Histogram& decode = histogram(
      "tokamak:request_decode_time_seconds", "From the first token to the last.", kSeconds);
  Histogram& inference = histogram(
      "tokamak:request_inference_time_seconds", "From the first KV page to the end.", kSeconds);
  Histogram& prompt_size =
      histogram("tokamak:request_prompt_tokens", "Tokens of a prompt.", kTokens);
  Histogram& answer_size =
      histogram("tokamak:request_generation_tokens", "Tokens of an answer.", kTokens);
  Histogram& request_preemptions =
      histogram("tokamak:request_num_preemptions",
                "How often an answer gave its pages back and was computed again.",
                kPreemptions);
  Histogram& params_n =
      histogram("tokamak:request_params_n", "Answers that a request asks for.", kAnswers);
  Histogram& params_max_tokens = histogram(
      "tokamak:request_params_max_tokens", "Longest answer that a request allows.", kTokens);
  Counter& queue_seconds =
      counter("tokamak:queue_seconds_total", "Sum of the time that requests waited.");
  Counter& inference_seconds =
      counter("tokamak:inference_seconds_total", "Sum of the time that requests held KV pages.");
  Counter& request_seconds =
      counter("tokamak:request_seconds_total", "Sum of the time from arrival to end.");
  prometheus::Family<Counter>& successes = BuildCounter()
                                               .Name("tokamak:request_success_total")
                                               .Help("Answers that ended, by reason.")
                                               .Register(registry);
  Gauge& running = gauge("tokamak:num_requests_running", "Requests that hold KV pages.");
  Gauge& waiting = gauge("tokamak:num_requests_waiting", "Requests in the queue.");
  /// Nobody waits for another reason than that pages or places in a step are taken.
  prometheus::Family<Gauge>& waiting_by_reason =
      BuildGauge()
          .Name("tokamak:num_requests_waiting_by_reason")
          .Help("Requests in the queue, by what they wait for.")
          .Register(registry);
  Gauge& cache_usage =
      gauge("tokamak:kv_cache_usage_perc", "Share of the KV pages in use, from 0 to 1.");
  Gauge& pages_used = gauge("tokamak:kv_pages_used", "KV pages in use.");
  Gauge& pages_cached =
      gauge("tokamak:kv_pages_cached", "KV pages kept for prompts that begin alike.");
  Gauge& pages_total = gauge("tokamak:kv_pages_total", "KV pages that there are.");
  // Counters of the executor: raised to its figures when they are asked for.
  Counter& generation_tokens =
      counter("tokamak:generation_tokens_total", "Tokens sampled, each of them once.");
  Counter& prompt_tokens =
      counter("tokamak:prompt_tokens_total", "Prompt tokens of requests that were admitted.");
  Counter& cached_tokens = counter("tokamak:prompt_tokens_cached_total",
                                   "Of those, tokens that came from the prefix cache.");
  Counter& cache_queries =
      counter("tokamak:prefix_cache_queries_total", "Prompt tokens looked up in the prefix cache.");
  Counter& cache_hits =
      counter("tokamak:prefix_cache_hits_total", "Prompt tokens found in the prefix cache.");
  Counter& evictions =
      counter("tokamak:prefix_cache_evictions_total", "Cached pages that were given to others.");
  Counter& failed_steps = counter("tokamak:failed_steps_total", "Steps that ended in an error.");
  Counter& preemptions = counter("tokamak:num_preemptions_total",
                                 "Requests that gave their pages back and began again.");
  Counter& steps = counter("tokamak:steps_total", "Steps of the engine.");
  Histogram& step_tokens = histogram("tokamak:iteration_tokens_total",
                                     "Tokens of prompts and answers that a step computed.",
                                     kStepTokens);
  executor::StepTokens told_step_tokens;  // What step_tokens was raised to.
  Counter& step_seconds = counter("tokamak:step_seconds_total", "Time in steps of the engine.");
  Counter& computed_prompt = counter("tokamak:computed_prompt_tokens_total",
                                     "Prompt tokens computed, again after a preemption too.");
};

struct Metrics::Families {
  std::shared_ptr<prometheus::Registry> registry = std::make_shared<prometheus::Registry>();
  prometheus::Family<Counter>& http_requests = BuildCounter()
                                                   .Name("tokamak:http_requests_total")
                                                   .Help("HTTP answers by route and status.")
                                                   .Register(*registry);
  prometheus::Family<Histogram>& http_seconds =
      BuildHistogram()
          .Name("tokamak:http_request_seconds")
          .Help("From an HTTP request's head to the end of its answer.")
          .Register(*registry);
  Gauge& connections = BuildGauge()
                           .Name("tokamak:http_connections")
                           .Help("Open connections.")
                           .Register(*registry)
                           .Add({});
  Counter& unknown_fields = BuildCounter()
                                .Name("tokamak:unknown_fields_total")
                                .Help("Fields of requests that this server does not know.")
                                .Register(*registry)
                                .Add({});
  std::unique_ptr<ModelMetrics> model;
  std::mutex mutex;  // Of raising the counters of the executor.
};

Metrics::Metrics(bool aliases) : families_(std::make_unique<Families>()), aliases_(aliases) {}
Metrics::~Metrics() = default;

void Metrics::serve(const Model& model) {
  families_->model = std::make_unique<ModelMetrics>(*families_->registry, model);
}

void Metrics::connected() {
  families_->connections.Increment();
}

void Metrics::disconnected() {
  families_->connections.Decrement();
}

void Metrics::answered(std::string_view route, int status, std::chrono::nanoseconds took) {
  const std::string name = route.empty() ? "none" : std::string(route);
  families_->http_requests.Add({{"route", name}, {"status", std::to_string(status)}}).Increment();
  families_->http_seconds.Add({{"route", name}}, kSeconds).Observe(seconds(took));
}

void Metrics::unknown_fields(int64_t count) {
  if (count > 0) families_->unknown_fields.Increment(static_cast<double>(count));
}

void Metrics::asked(const executor::Request& request) {
  ModelMetrics& m = *families_->model;
  m.params_n.Observe(static_cast<double>(request.n));
  m.params_max_tokens.Observe(static_cast<double>(request.sampling.max_tokens));
}

void Metrics::finished(const executor::Finish& finish) {
  ModelMetrics& m = *families_->model;
  const executor::Timing& t = finish.timing;
  const executor::Usage& usage = finish.usage;
  m.end_to_end.Observe(seconds(t.finish - t.arrival));
  m.request_seconds.Increment(seconds(t.finish - t.arrival));
  m.prompt_size.Observe(static_cast<double>(usage.prompt_tokens));
  m.answer_size.Observe(static_cast<double>(usage.completion_tokens));
  m.request_preemptions.Observe(static_cast<double>(finish.num_preemptions));
  if (!t.admission) return;
  m.queue.Observe(seconds(*t.admission - t.arrival));
  m.queue_seconds.Increment(seconds(*t.admission - t.arrival));
  m.inference.Observe(seconds(t.finish - *t.admission));
  m.inference_seconds.Increment(seconds(t.finish - *t.admission));
  if (!t.first_token || !t.last_token) return;
  m.first_token.Observe(seconds(*t.first_token - t.arrival));
  m.prefill.Observe(seconds(*t.first_token - *t.admission));
  m.decode.Observe(seconds(*t.last_token - *t.first_token));
  if (usage.completion_tokens < 2) return;
  m.per_token.Observe(seconds(*t.last_token - *t.first_token) /
                      static_cast<double>(usage.completion_tokens - 1));
}

void Metrics::inter_token(std::chrono::nanoseconds since, int64_t count) {
  for (int64_t i = 0; i < count; ++i) families_->model->inter_token.Observe(seconds(since / count));
}

Metrics::Totals Metrics::totals() const {
  if (!families_->model) return {};
  const ModelMetrics& m = *families_->model;
  return {m.request_seconds.Value(), m.queue_seconds.Value(), m.inference_seconds.Value()};
}

std::string Metrics::text(const executor::ExecutorStats* stats) const {
  if (stats && families_->model) {
    std::lock_guard lock(families_->mutex);
    ModelMetrics& m = *families_->model;
    m.running.Set(static_cast<double>(stats->running));
    m.waiting.Set(static_cast<double>(stats->waiting));
    m.waiting_for("capacity").Set(static_cast<double>(stats->waiting));
    m.waiting_for("deferred").Set(0);
    m.pages_used.Set(static_cast<double>(stats->pages_used));
    m.pages_cached.Set(static_cast<double>(stats->pages_cached));
    m.pages_total.Set(static_cast<double>(stats->pages_total));
    m.cache_usage.Set(static_cast<double>(stats->pages_used) /
                      static_cast<double>(std::max<int64_t>(1, stats->pages_total)));
    auto raise = [](Counter& counter, double value) { counter.Increment(value - counter.Value()); };
    raise(m.preemptions, static_cast<double>(stats->preemptions));
    raise(m.steps, static_cast<double>(stats->steps));
    raise(m.step_seconds, stats->step_seconds);
    m.raise_step_tokens(stats->step_tokens);
    raise(m.computed_prompt, static_cast<double>(stats->prompt_tokens));
    raise(m.prompt_tokens, static_cast<double>(stats->prefix_query_tokens));
    raise(m.cached_tokens, static_cast<double>(stats->prefix_hit_tokens));
    raise(m.cache_queries, static_cast<double>(stats->prefix_query_tokens));
    raise(m.cache_hits, static_cast<double>(stats->prefix_hit_tokens));
    raise(m.evictions, static_cast<double>(stats->evictions));
    raise(m.failed_steps, static_cast<double>(stats->failed_steps));
    raise(m.generation_tokens, static_cast<double>(stats->output_tokens));
    for (size_t i = 0; i < stats->finished.size(); ++i) {
      raise(m.finished(static_cast<executor::FinishReason>(i)),
            static_cast<double>(stats->finished[i]));
    }
  }
  std::vector<prometheus::MetricFamily> families = families_->registry->Collect();
  if (aliases_) add_aliases(families);
  return prometheus::TextSerializer().Serialize(families);
}

}  // namespace tokamak::server
