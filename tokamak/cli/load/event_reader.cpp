// SPDX-License-Identifier: Apache-2.0
#include "tokamak/cli/load/event_reader.h"

namespace tokamak::cli {

Result<void> EventReader::push(std::string_view bytes,
                               const std::function<void(std::string_view)>& take) {
  while (!bytes.empty()) {
    // The LF of a CR LF whose CR has ended the line already.
    if (std::exchange(after_cr_, false) && bytes.front() == '\n') {
      bytes.remove_prefix(1);
      continue;
    }
    const size_t end = bytes.find_first_of("\r\n");
    TKM_RETURN_IF_ERROR(add_to_line(bytes.substr(0, end)));
    if (end == std::string_view::npos) break;
    after_cr_ = bytes[end] == '\r';
    bytes.remove_prefix(end + 1);
    TKM_RETURN_IF_ERROR(end_line(take));
  }
  return {};
}

Result<void> EventReader::add_to_line(std::string_view bytes) {
  line_ += bytes;
  if (line_.size() + data_.size() <= max_bytes_) return {};
  return base::invalid(fmt::format("event stream: an event has more than {} bytes", max_bytes_));
}

Result<void> EventReader::end_line(const std::function<void(std::string_view)>& take) {
  if (line_.empty()) {
    // The last line's LF is not part of the data.
    if (!data_.empty()) take(std::string_view(data_).substr(0, data_.size() - 1));
    data_.clear();
    return {};
  }
  std::string_view value = line_;
  const size_t colon = value.find(':');
  if (value.substr(0, colon) == "data") {
    value.remove_prefix(colon == std::string_view::npos ? value.size() : colon + 1);
    if (value.starts_with(' ')) value.remove_prefix(1);
    data_ += value;
    data_ += '\n';
  }
  line_.clear();
  return {};
}

}  // namespace tokamak::cli
