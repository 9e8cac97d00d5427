// SPDX-License-Identifier: Apache-2.0
// Any bytes as HTTP, and as a packed body: parser and router in process, whole and split at a place
// that the first byte names. Both ways must agree; an error is a 4xx.
#include <cstdlib>

#include "tokamak/server/http/gzip.h"
#include "tokamak/server/http/request_parser.h"
#include "tokamak/server/router.h"

namespace {

using namespace tokamak;
using Progress = server::RequestParser::Progress;

struct Outcome {
  Progress progress = Progress::kMore;
  int status = 0;
  std::string path, body;
  bool operator==(const Outcome&) const = default;
};

/// As a connection reads: what is left of a piece comes again, with the next.
Outcome read(const server::Service& service, std::string_view bytes, size_t cut) {
  server::RequestParser parser(1024, 4096);
  Outcome outcome;
  std::string buffer;
  for (std::string_view piece : {bytes.substr(0, cut), bytes.substr(cut)}) {
    buffer += piece;
    do {
      std::string_view rest = buffer;
      outcome.progress = parser.feed(rest);
      buffer.erase(0, buffer.size() - rest.size());
      if (outcome.progress == Progress::kHead) {
        const auto& head = parser.head();
        outcome.path = head.request.path;
        auto admitted = server::admit(service, head.request, head.content_length);
        if (auto* refusal = std::get_if<server::HttpResponse>(&admitted)) {
          outcome.status = refusal->status;
          return outcome;
        }
      }
    } while (outcome.progress == Progress::kHead);
    if (outcome.progress != Progress::kMore) break;
  }
  if (outcome.progress == Progress::kRequest) outcome.body = parser.body();
  if (outcome.progress == Progress::kRefused) outcome.status = parser.fault().status;
  return outcome;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static server::Service service{server::ServerOptions{}};
  if (size == 0) return 0;
  const std::string_view bytes(reinterpret_cast<const char*>(data) + 1, size - 1);
  const Outcome whole = read(service, bytes, bytes.size());
  const Outcome split = read(service, bytes, bytes.empty() ? 0 : data[0] % (bytes.size() + 1));
  if (whole.status == split.status && !(whole == split)) std::abort();
  if (whole.body.size() > 4096) std::abort();
  // Without a model, 503 is the server's own; 501 says that it does not know a transfer coding.
  auto unpacked = server::gunzip(bytes, 4096);
  if (unpacked.ok() && unpacked->size() > 4096) std::abort();
  if (whole.status >= 500 && whole.status != 503 && whole.status != 501) std::abort();
  return 0;
}
