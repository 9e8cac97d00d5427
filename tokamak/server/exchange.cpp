// SPDX-License-Identifier: Apache-2.0
#include "tokamak/server/exchange.h"

#include <algorithm>

namespace tokamak::server {
namespace {

char lower(char c) {
  return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c;
}

}  // namespace

bool same_text(std::string_view a, std::string_view b) {
  return std::equal(
      a.begin(), a.end(), b.begin(), b.end(), [](char x, char y) { return lower(x) == lower(y); });
}

std::optional<std::string_view> find_header(const std::vector<Header>& headers,
                                            std::string_view name) {
  for (const Header& header : headers) {
    if (same_text(header.name, name)) return header.value;
  }
  return {};
}

bool Exchange::replace_body(std::string body) {
  if (!share_.resize(std::ssize(body))) return false;
  request_.body = std::move(body);
  return true;
}

void Exchange::drop_body() {
  std::string().swap(request_.body);  // Frees it.
  share_.resize(0);
}

}  // namespace tokamak::server
