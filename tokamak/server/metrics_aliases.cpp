// SPDX-License-Identifier: Apache-2.0
#include "tokamak/server/metrics_aliases.h"

#include <string>
#include <string_view>

namespace tokamak::server {
namespace {

enum class Labels {
  kSame,
  kTriton,  ///< model, version; the metrics of one family summed up.
};

struct Alias {
  std::string_view ours, theirs;
  Labels labels = Labels::kSame;
  double factor = 1;  ///< From our unit to theirs.
};

constexpr Alias kAliases[] = {
    {"tokamak:time_to_first_token_seconds", "vllm:time_to_first_token_seconds"},
    {"tokamak:inter_token_latency_seconds", "vllm:inter_token_latency_seconds"},
    {"tokamak:inter_token_latency_seconds", "vllm:time_per_output_token_seconds"},
    {"tokamak:request_time_per_output_token_seconds", "vllm:request_time_per_output_token_seconds"},
    {"tokamak:e2e_request_latency_seconds", "vllm:e2e_request_latency_seconds"},
    {"tokamak:request_queue_time_seconds", "vllm:request_queue_time_seconds"},
    {"tokamak:request_prefill_time_seconds", "vllm:request_prefill_time_seconds"},
    {"tokamak:request_decode_time_seconds", "vllm:request_decode_time_seconds"},
    {"tokamak:request_inference_time_seconds", "vllm:request_inference_time_seconds"},
    {"tokamak:request_prompt_tokens", "vllm:request_prompt_tokens"},
    {"tokamak:request_generation_tokens", "vllm:request_generation_tokens"},
    {"tokamak:request_num_preemptions", "vllm:request_num_preemptions"},
    {"tokamak:request_params_n", "vllm:request_params_n"},
    {"tokamak:request_params_max_tokens", "vllm:request_params_max_tokens"},
    {"tokamak:prompt_tokens_total", "vllm:prompt_tokens_total"},
    {"tokamak:prompt_tokens_cached_total", "vllm:prompt_tokens_cached_total"},
    {"tokamak:generation_tokens_total", "vllm:generation_tokens_total"},
    {"tokamak:prefix_cache_queries_total", "vllm:prefix_cache_queries_total"},
    {"tokamak:prefix_cache_hits_total", "vllm:prefix_cache_hits_total"},
    {"tokamak:request_success_total", "vllm:request_success_total"},
    {"tokamak:iteration_tokens_total", "vllm:iteration_tokens_total"},
    {"tokamak:num_preemptions_total", "vllm:num_preemptions_total"},
    {"tokamak:num_requests_running", "vllm:num_requests_running"},
    {"tokamak:num_requests_waiting", "vllm:num_requests_waiting"},
    {"tokamak:num_requests_waiting_by_reason", "vllm:num_requests_waiting_by_reason"},
    {"tokamak:cache_config_info", "vllm:cache_config_info"},
    {"tokamak:kv_cache_usage_perc", "vllm:kv_cache_usage_perc"},
    {"tokamak:kv_cache_usage_perc", "vllm:gpu_cache_usage_perc"},
    {"tokamak:request_seconds_total", "nv_inference_request_duration_us", Labels::kTriton, 1e6},
    {"tokamak:queue_seconds_total", "nv_inference_queue_duration_us", Labels::kTriton, 1e6},
    {"tokamak:inference_seconds_total",
     "nv_inference_compute_infer_duration_us",
     Labels::kTriton,
     1e6},
    {"tokamak:steps_total", "nv_inference_exec_count", Labels::kTriton},
    {"tokamak:num_requests_waiting", "nv_inference_pending_request_count", Labels::kTriton},
};

/// Triton has one counter of answers that ended well and one of the others.
constexpr std::string_view kOutcomes = "tokamak:request_success_total";

bool ended_well(std::string_view reason) {
  return reason == "stop" || reason == "length";
}

std::string label_of(const prometheus::ClientMetric& metric, std::string_view name) {
  for (const auto& label : metric.label) {
    if (label.name == name) return label.value;
  }
  return {};
}

prometheus::ClientMetric triton_metric(const prometheus::MetricFamily& family) {
  prometheus::ClientMetric metric;
  const std::string model =
      family.metric.empty() ? std::string() : label_of(family.metric.front(), "model_name");
  metric.label = {{"model", model}, {"version", "1"}};
  return metric;
}

prometheus::MetricFamily aliased(const prometheus::MetricFamily& family, const Alias& alias) {
  prometheus::MetricFamily copy = family;
  copy.name = alias.theirs;
  if (alias.labels == Labels::kSame) return copy;
  prometheus::ClientMetric sum = triton_metric(family);
  for (const auto& metric : family.metric) {
    sum.counter.value += metric.counter.value * alias.factor;
    sum.gauge.value += metric.gauge.value * alias.factor;
  }
  copy.metric = {sum};
  return copy;
}

prometheus::MetricFamily outcomes(const prometheus::MetricFamily& family, bool good) {
  prometheus::MetricFamily copy = family;
  copy.name = good ? "nv_inference_request_success" : "nv_inference_request_failure";
  copy.help = good ? "Answers that ended well." : "Answers that did not end well.";
  prometheus::ClientMetric sum = triton_metric(family);
  for (const auto& metric : family.metric) {
    if (ended_well(label_of(metric, "finished_reason")) == good) {
      sum.counter.value += metric.counter.value;
    }
  }
  copy.metric = {sum};
  return copy;
}

}  // namespace

void add_aliases(std::vector<prometheus::MetricFamily>& families) {
  const size_t ours = families.size();
  for (const Alias& alias : kAliases) {
    for (size_t i = 0; i < ours; ++i) {
      if (families[i].name == alias.ours) families.push_back(aliased(families[i], alias));
    }
  }
  for (size_t i = 0; i < ours; ++i) {
    if (families[i].name != kOutcomes) continue;
    families.push_back(outcomes(families[i], true));
    families.push_back(outcomes(families[i], false));
  }
}

}  // namespace tokamak::server
