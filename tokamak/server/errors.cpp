// SPDX-License-Identifier: Apache-2.0
#include "tokamak/server/errors.h"

#include <algorithm>
#include <cctype>
#include <iterator>

#include "tokamak/base/log.h"
#include "tokamak/server/kserve_parameters.h"
#include "tokamak/server/openai_fields.h"

namespace tokamak::server {
namespace {

constexpr std::string_view kInvalidRequest = "invalid_request_error";
constexpr int kRetryAfterSeconds = 1;

/// Beside the fields that have rules.
constexpr std::string_view kOtherFields[] = {
    "tokens", "return_token_strs", "text_input", "instances", "parameters", "streaming"};

bool is_field(std::string_view name) {
  const auto named = [&](const auto& rule) { return rule.name == name; };
  return std::any_of(field_rules().begin(), field_rules().end(), named) ||
         std::any_of(parameter_rules().begin(), parameter_rules().end(), named) ||
         std::find(std::begin(kOtherFields), std::end(kOtherFields), name) !=
             std::end(kOtherFields);
}

size_t name_size(std::string_view text) {
  size_t size = 0;
  while (size < text.size() && (std::isalnum(static_cast<unsigned char>(text[size])) ||
                                text[size] == '_' || text[size] == '-')) {
    ++size;
  }
  return size;
}

/// Of the text behind a field's name: "[2].content", ".include_usage". An element alone is told as
/// its list.
size_t member_size(std::string_view text) {
  size_t dot = 0;
  if (text.starts_with('[')) {
    dot = text.find_first_not_of("0123456789", 1);
    if (dot == std::string_view::npos || text[dot] != ']') return 0;
    ++dot;
  }
  if (!text.substr(dot).starts_with('.')) return 0;
  const size_t name = name_size(text.substr(dot + 1));
  return name == 0 ? 0 : dot + 1 + name;
}

/// The text of an error begins with the thing at fault: `temperature is 3, …`, `'n' must be …` or
/// `messages[2].content is …`. Only names of fields are quoted there; any other word may be one of
/// the sentence.
std::optional<std::string> thing_at_fault(std::string_view message) {
  const bool quoted = message.starts_with('\'');
  if (quoted) message.remove_prefix(1);
  const size_t size = name_size(message);
  if (size == 0 || !(quoted || is_field(message.substr(0, size)))) return {};
  return std::string(message.substr(0, size + (quoted ? 0 : member_size(message.substr(size)))));
}

Header retry_after() {
  return {"Retry-After", std::to_string(kRetryAfterSeconds)};
}

}  // namespace

Wire wire_of(std::string_view path) {
  return path == "/v2" || path.starts_with("/v2/") ? Wire::kKServe : Wire::kOpenAi;
}

Fault bad_request(std::string message, std::optional<std::string> param) {
  return {400, std::move(message), std::string(kInvalidRequest), std::move(param), {}, {}};
}

Fault not_found(std::string message, std::optional<std::string> code) {
  return {404, std::move(message), "not_found_error", {}, std::move(code), {}};
}

Fault unavailable(std::string message) {
  return {503, std::move(message), "service_unavailable_error", {}, "unavailable", {retry_after()}};
}

Fault shutting_down() {
  return unavailable("the server is shutting down");
}

Fault fault_of(const Error& error) {
  switch (error.code) {
    case ErrorCode::kInvalid:
    case ErrorCode::kCorrupt:
      return bad_request(error.text(), thing_at_fault(error.message));
    case ErrorCode::kUnsupported: {
      Fault fault = bad_request(error.text(), thing_at_fault(error.message));
      fault.code = "unsupported";
      return fault;
    }
    case ErrorCode::kNotFound: {
      Fault fault = not_found(error.text());
      fault.param = thing_at_fault(error.message);
      fault.code = fault.param.value_or("thing") + "_not_found";
      return fault;
    }
    case ErrorCode::kOverloaded:
      return {429, error.text(), "rate_limit_error", {}, "overloaded", {retry_after()}};
    case ErrorCode::kCancelled:
      return unavailable("the server ended this request");
    case ErrorCode::kDeadline:
      return {504, "the request passed its deadline", "timeout_error", {}, "deadline", {}};
    case ErrorCode::kOutOfMemory:
    case ErrorCode::kDevice:
    case ErrorCode::kIo:
    case ErrorCode::kInternal:
      break;
  }
  base::log_warn("a request failed: {}", error.text());
  if (error.code == ErrorCode::kDevice)
    return unavailable("the device is lost; the server ends and must be started again");
  Fault fault;
  fault.message = "the engine failed while it worked on this request; the server's log says more";
  fault.code = "internal_error";
  return fault;
}

Json error_json(Wire wire, const Fault& fault) {
  if (wire == Wire::kKServe) return {{"error", fault.message}};
  Json error = {{"message", fault.message}, {"type", fault.type}};
  error["param"] = fault.param ? Json(*fault.param) : Json(nullptr);
  error["code"] = fault.code ? Json(*fault.code) : Json(nullptr);
  return {{"error", std::move(error)}};
}

HttpResponse error_response(Wire wire, const Fault& fault) {
  HttpResponse response = json_response(error_json(wire, fault));
  response.status = fault.status;
  response.headers = fault.headers;
  return response;
}

std::string json_text(const Json& body) {
  return body.dump(-1, ' ', false, Json::error_handler_t::replace);
}

HttpResponse json_response(const Json& body) {
  HttpResponse response;
  response.body = json_text(body);
  return response;
}

}  // namespace tokamak::server
