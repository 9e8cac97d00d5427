// SPDX-License-Identifier: Apache-2.0
// Any bytes as the event stream of a server, whole and cut into pieces whose lengths the first
// bytes give: both ways there are the same events.
#include <cstdlib>

#include "tokamak/cli/load/event_reader.h"

namespace {

using namespace tokamak;

struct Outcome {
  std::vector<std::string> events;
  bool refused = false;
  bool operator==(const Outcome&) const = default;
};

Outcome read(std::string_view bytes, std::string_view lengths) {
  cli::EventReader reader(256);
  Outcome outcome;
  for (size_t i = 0; !bytes.empty() && !outcome.refused; ++i) {
    const size_t wanted =
        lengths.empty() ? bytes.size() : static_cast<unsigned char>(lengths[i % lengths.size()]);
    const std::string_view piece = bytes.substr(0, wanted + 1);
    outcome.refused =
        !reader.push(piece, [&](std::string_view data) { outcome.events.emplace_back(data); }).ok();
    bytes.remove_prefix(piece.size());
  }
  return outcome;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  constexpr size_t kLengths = 4;
  if (size < kLengths) return 0;
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  const Outcome whole = read(bytes.substr(kLengths), {});
  if (!(whole == read(bytes.substr(kLengths), bytes.substr(0, kLengths)))) std::abort();
  for (const std::string& event : whole.events) {
    if (event.find('\r') != std::string::npos || event.size() > 256) std::abort();
  }
  return 0;
}
