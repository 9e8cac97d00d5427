// SPDX-License-Identifier: Apache-2.0
#include "tokamak/server/http/response_head.h"

#include <ctime>
#include <utility>

#include <fmt/format.h>

namespace tokamak::server {
namespace {

constexpr std::pair<int, std::string_view> kReasons[] = {
    {200, "OK"},
    {400, "Bad Request"},
    {401, "Unauthorized"},
    {403, "Forbidden"},
    {404, "Not Found"},
    {405, "Method Not Allowed"},
    {408, "Request Timeout"},
    {413, "Content Too Large"},
    {415, "Unsupported Media Type"},
    {429, "Too Many Requests"},
    {431, "Request Header Fields Too Large"},
    {500, "Internal Server Error"},
    {501, "Not Implemented"},
    {503, "Service Unavailable"},
    {504, "Gateway Timeout"},
};

std::string_view reason_of(int status) {
  for (auto [known, reason] : kReasons) {
    if (known == status) return reason;
  }
  return "Unknown";
}

/// As HTTP writes it: Sun, 06 Nov 1994 08:49:37 GMT.
std::string date() {
  const std::time_t now = std::time(nullptr);
  std::tm parts{};
  gmtime_r(&now, &parts);
  char text[40];
  const size_t size = std::strftime(text, sizeof(text), "%a, %d %b %Y %H:%M:%S GMT", &parts);
  return {text, size};
}

void append_header(std::string& out, std::string_view name, std::string_view value) {
  out += name;
  out += ": ";
  for (char c : value) out += static_cast<unsigned char>(c) < 0x20 || c == 0x7f ? ' ' : c;
  out += "\r\n";
}

}  // namespace

void append_response_head(std::string& out,
                          const HttpResponse& response,
                          const std::vector<Header>& more,
                          const Framing& framing) {
  out += fmt::format("{}{} {}\r\n", kAnswerBegins, response.status, reason_of(response.status));
  append_header(out, "Date", date());
  if (!response.content_type.empty()) append_header(out, "Content-Type", response.content_type);
  if (framing.length) append_header(out, "Content-Length", std::to_string(*framing.length));
  if (framing.chunked) append_header(out, "Transfer-Encoding", "chunked");
  if (framing.close) append_header(out, "Connection", "close");
  for (const Header& header : response.headers) append_header(out, header.name, header.value);
  for (const Header& header : more) {
    if (!find_header(response.headers, header.name)) append_header(out, header.name, header.value);
  }
  out += "\r\n";
}

}  // namespace tokamak::server
