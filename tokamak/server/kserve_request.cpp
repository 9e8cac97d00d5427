// SPDX-License-Identifier: Apache-2.0
#include "tokamak/server/kserve_request.h"

#include <algorithm>

#include "tokamak/server/sampling_fields.h"

namespace tokamak::server {
namespace {

bool is_part_of_a_name(char c) {
  return std::isalnum(static_cast<unsigned char>(c)) || c == '_';
}

Result<executor::Request> executor_request(const KServeRequest& request, const Model& model) {
  executor::Request out;
  TKM_ASSIGN(out.prompt, encode_prompt(model, request.text, /*add_special_tokens=*/true));
  out.sampling = request.sampling;
  const int64_t room = room_left(out.prompt.size(), model);
  out.sampling.max_tokens =
      request.max_tokens.value_or(std::min(model.default_max_tokens.value_or(room), room));
  bound_defaults(model, out.sampling);
  out.cache_salt = request.cache_salt;
  auto valid = out.sampling.validate(model.info().vocab_size);
  if (!valid.ok()) return request.in_its_words(valid.error());
  return out;
}

}  // namespace

Error KServeRequest::in_its_words(Error error) const {
  std::string& message = error.message;
  const size_t begin = message.starts_with('\'') ? 1 : 0;
  const auto end = std::find_if_not(
      message.begin() + static_cast<ptrdiff_t>(begin), message.end(), is_part_of_a_name);
  const size_t size = static_cast<size_t>(end - message.begin()) - begin;
  auto found = names.find(message.substr(begin, size));
  if (found != names.end()) message.replace(begin, size, found->second);
  return error;
}

LengthNames KServeRequest::length_names(std::string_view prompt) const {
  auto found = names.find("max_tokens");
  return {std::string(prompt), found == names.end() ? "max_tokens" : found->second};
}

KServeRequest new_request(const HttpRequest& http, const Model& model) {
  KServeRequest request;
  request.sampling = model.defaults;
  request.cache_salt = cache_salt(http, "");
  return request;
}

Result<void> check_num_texts(size_t count, const Service& service) {
  if (static_cast<int64_t>(count) <= service.options.max_choices) return {};
  return base::invalid(
      fmt::format("text_input has {} texts, the limit is {}", count, service.options.max_choices));
}

Result<std::vector<executor::Request>> executor_requests(std::span<const KServeRequest> requests,
                                                         const Model& model) {
  std::vector<executor::Request> out;
  for (const KServeRequest& request : requests) {
    TKM_ASSIGN(executor::Request one, executor_request(request, model));
    out.push_back(std::move(one));
  }
  return out;
}

std::vector<std::string> shown_prompts(std::span<const KServeRequest> requests) {
  std::vector<std::string> out;
  for (const KServeRequest& request : requests)
    out.push_back(request.with_prompt ? request.text : std::string());
  return out;
}

}  // namespace tokamak::server
