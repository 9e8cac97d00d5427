// SPDX-License-Identifier: Apache-2.0
#include "tokamak/base/result.h"

namespace tokamak::base {

std::string_view error_code_name(ErrorCode code) {
  switch (code) {
    case ErrorCode::kInvalid:
      return "invalid";
    case ErrorCode::kNotFound:
      return "not_found";
    case ErrorCode::kUnsupported:
      return "unsupported";
    case ErrorCode::kOutOfMemory:
      return "out_of_memory";
    case ErrorCode::kOverloaded:
      return "overloaded";
    case ErrorCode::kCancelled:
      return "cancelled";
    case ErrorCode::kDeadline:
      return "deadline";
    case ErrorCode::kCorrupt:
      return "corrupt";
    case ErrorCode::kDevice:
      return "device";
    case ErrorCode::kIo:
      return "io";
    case ErrorCode::kInternal:
      return "internal";
  }
  return "unknown";
}

int exit_status(ErrorCode code) {
  switch (code) {
    case ErrorCode::kInvalid:
    case ErrorCode::kNotFound:
    case ErrorCode::kUnsupported:
    case ErrorCode::kCorrupt:
      return 2;
    default:
      return 1;
  }
}

std::string Error::text() const {
  return hint.empty() ? message : message + "\nhint: " + hint;
}

Error invalid(std::string message, std::string hint) {
  return {ErrorCode::kInvalid, std::move(message), std::move(hint)};
}
Error not_found(std::string message, std::string hint) {
  return {ErrorCode::kNotFound, std::move(message), std::move(hint)};
}
Error unsupported(std::string message, std::string hint) {
  return {ErrorCode::kUnsupported, std::move(message), std::move(hint)};
}
Error out_of_memory(std::string message, std::string hint) {
  return {ErrorCode::kOutOfMemory, std::move(message), std::move(hint)};
}
Error corrupt(std::string message, std::string hint) {
  return {ErrorCode::kCorrupt, std::move(message), std::move(hint)};
}
Error io_error(std::string message, std::string hint) {
  return {ErrorCode::kIo, std::move(message), std::move(hint)};
}
Error internal_error(std::string message, std::string hint) {
  return {ErrorCode::kInternal, std::move(message), std::move(hint)};
}

}  // namespace tokamak::base
