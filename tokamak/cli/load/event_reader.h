// SPDX-License-Identifier: Apache-2.0
// Server-sent events out of bytes that come in any pieces. WHATWG HTML, section 9.2.6.
#pragma once

#include <functional>
#include <string>
#include <string_view>

#include "tokamak/base/result.h"

namespace tokamak::cli {

/// Reads the data of events: lines end with LF, CR LF or CR, an empty line ends an event, several
/// data lines of one event are joined with LF. Comments, other fields, events without data and one
/// that the end of the stream cuts are left out. How the bytes are split makes no difference.
class EventReader {
 public:
  static constexpr size_t kMaxEventBytes = size_t{64} << 20;

  explicit EventReader(size_t max_event_bytes = kMaxEventBytes) : max_bytes_(max_event_bytes) {}
  /// Calls `take` with the data of each event that these bytes complete. Errors: invalid (an event
  /// or a line longer than the limit); nothing may follow.
  Result<void> push(std::string_view bytes, const std::function<void(std::string_view)>& take);

 private:
  Result<void> add_to_line(std::string_view bytes);
  Result<void> end_line(const std::function<void(std::string_view)>& take);

  size_t max_bytes_;
  std::string line_;  // As far as it came.
  std::string data_;  // Of the event so far, each line with its LF.
  bool after_cr_ = false;
};

}  // namespace tokamak::cli
