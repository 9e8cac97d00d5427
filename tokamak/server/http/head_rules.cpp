// SPDX-License-Identifier: Apache-2.0
#include "tokamak/server/http/head_rules.h"

#include <algorithm>

#include <arpa/inet.h>
#include <fmt/format.h>

namespace tokamak::server {
namespace {

std::vector<std::string_view> values_of(const std::vector<Header>& headers, std::string_view name) {
  std::vector<std::string_view> values;
  for (const Header& header : headers) {
    if (same_text(header.name, name)) values.push_back(header.value);
  }
  return values;
}

Fault malformed(std::string message, int status = 400) {
  Fault fault = bad_request(std::move(message));
  fault.status = status;
  fault.code = "malformed_request";
  return fault;
}

bool is_alphanumeric(char c) {
  return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

bool is_token(std::string_view text) {
  return !text.empty() && std::all_of(text.begin(), text.end(), [](char c) {
    return is_alphanumeric(c) ||
           std::string_view("!#$%&'*+-.^_`|~").find(c) != std::string_view::npos;
  });
}

std::string_view trimmed(std::string_view text) {
  const size_t begin = text.find_first_not_of(" \t");
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(" \t") - begin + 1);
}

std::vector<std::string_view> list_elements(std::string_view value) {
  std::vector<std::string_view> elements;
  for (;;) {
    const size_t comma = value.find(',');
    elements.push_back(trimmed(value.substr(0, comma)));
    if (comma == std::string_view::npos) return elements;
    value.remove_prefix(comma + 1);
  }
}

/// Of names: letters, digits, what may stand between them, and %XX.
bool is_registered_name(std::string_view text) {
  constexpr std::string_view kOthers = "-._~!$&'()*+,;=";
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '%') {
      if (i + 2 >= text.size() || !std::isxdigit(static_cast<unsigned char>(text[i + 1])) ||
          !std::isxdigit(static_cast<unsigned char>(text[i + 2]))) {
        return false;
      }
      i += 2;
    } else if (!is_alphanumeric(text[i]) && kOthers.find(text[i]) == std::string_view::npos) {
      return false;
    }
  }
  return true;
}

bool is_port(std::string_view text) {
  return text.size() <= 5 &&
         std::all_of(text.begin(), text.end(), [](char c) { return c >= '0' && c <= '9'; });
}

/// The host in `host[:port]`; nothing if that is not what `text` is.
std::optional<std::string_view> host_in(std::string_view text) {
  const bool bracketed = text.starts_with('[');
  const size_t end = bracketed ? text.find(']') : text.find(':');
  std::string_view host = text.substr(0, end);
  std::string_view rest = end == std::string_view::npos ? "" : text.substr(end);
  if (bracketed) {
    if (rest.empty()) return {};
    host.remove_prefix(1);
    rest.remove_prefix(1);
    in6_addr ignored;
    if (::inet_pton(AF_INET6, std::string(host).c_str(), &ignored) != 1) return {};
  } else if (!is_registered_name(host)) {
    return {};
  }
  if (!rest.empty() && (rest[0] != ':' || !is_port(rest.substr(1)))) return {};
  return host;
}

/// What stands between an absolute target's scheme and its path.
std::optional<std::string_view> authority_of(std::string_view target) {
  for (std::string_view scheme : {"http://", "https://"}) {
    if (!target.starts_with(scheme)) continue;
    target.remove_prefix(scheme.size());
    return target.substr(0, target.find_first_of("/?#"));
  }
  return {};
}

}  // namespace

std::optional<Fault> check_framing(const std::vector<Header>& headers, int version) {
  const auto values = values_of(headers, "Transfer-Encoding");
  if (values.empty()) return {};
  if (version < 11) return malformed("Transfer-Encoding is not part of HTTP/1.0");
  if (!values_of(headers, "Content-Length").empty()) {
    return malformed("Transfer-Encoding and Content-Length exclude each other");
  }
  std::vector<std::string_view> codings;
  for (std::string_view value : values) {
    for (std::string_view coding : list_elements(value)) codings.push_back(coding);
  }
  const auto is_chunked = [](std::string_view coding) { return same_text(coding, "chunked"); };
  if (!std::all_of(codings.begin(), codings.end(), is_token)) {
    return malformed("Transfer-Encoding is not a list of codings without parameters");
  }
  if (std::any_of(codings.begin(), codings.end() - 1, is_chunked)) {
    return malformed("Transfer-Encoding names chunked before its end");
  }
  for (std::string_view coding : codings) {
    if (is_chunked(coding)) continue;
    return malformed(
        fmt::format("Transfer-Encoding '{}' is not known here, chunked is", coding.substr(0, 80)),
        501);
  }
  return {};
}

std::optional<Fault> check_host(const std::vector<Header>& headers, int version) {
  const auto values = values_of(headers, "Host");
  if (values.empty() && version < 11) return {};
  if (values.size() != 1) {
    return malformed(fmt::format("the request has {} Host headers, must have 1", values.size()));
  }
  if (!host_in(values.front())) return malformed("Host is not of the form host[:port]");
  return {};
}

std::optional<std::string> host_of(std::string_view target, const std::vector<Header>& headers) {
  const auto values = values_of(headers, "Host");
  std::string_view text = values.empty() ? "" : values.front();
  const auto authority = authority_of(target);
  if (authority) text = *authority;
  const auto host = host_in(text);
  if (!host || (authority && host->empty())) return {};
  std::string lower(*host);
  std::transform(lower.begin(), lower.end(), lower.begin(), [](unsigned char c) {
    return static_cast<char>(std::tolower(c));
  });
  return lower;
}

}  // namespace tokamak::server
