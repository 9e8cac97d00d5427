// SPDX-License-Identifier: Apache-2.0
// Result<T>: a value, or an Error that says what was wrong, with which value, against which limit.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>

#include "tokamak/base/check.h"

namespace tokamak::base {

/// What kind of failure an Error is. Mapped once to exit status (here), HTTP, gRPC and Python
/// exceptions.
enum class ErrorCode {
  kInvalid,      ///< The caller's input is wrong.
  kNotFound,     ///< A named thing does not exist.
  kUnsupported,  ///< Understood, but this build, model or device cannot do it.
  kOutOfMemory,
  kOverloaded,
  kCancelled,
  kDeadline,
  kCorrupt,  ///< A file contradicts itself or its format.
  kDevice,
  kIo,
  kInternal,
};

std::string_view error_code_name(ErrorCode code);
/// Exit status of a command that ends with this error: 2 for what the user gave, 1 for the others.
int exit_status(ErrorCode code);

struct Error {
  ErrorCode code = ErrorCode::kInternal;
  std::string message;
  std::string hint;  ///< What the user can do about it; may be empty.

  /// "message" or "message\nhint: …".
  std::string text() const;
};

Error invalid(std::string message, std::string hint = {});
Error not_found(std::string message, std::string hint = {});
Error unsupported(std::string message, std::string hint = {});
Error out_of_memory(std::string message, std::string hint = {});
Error corrupt(std::string message, std::string hint = {});
Error io_error(std::string message, std::string hint = {});
Error internal_error(std::string message, std::string hint = {});

/// A T or an Error. value() of an error is a programming error and throws CheckFailure with the
/// error's text.
template <typename T>
class [[nodiscard]] Result {
 public:
  Result(T value)
      : state_(std::in_place_index<0>, std::move(value)) {}  // NOLINT: implicit by design
  Result(Error error) : state_(std::in_place_index<1>, std::move(error)) {}  // NOLINT

  bool ok() const { return state_.index() == 0; }
  explicit operator bool() const { return ok(); }
  T& value() & {
    require();
    return std::get<0>(state_);
  }
  const T& value() const& {
    require();
    return std::get<0>(state_);
  }
  /// By value: `for (auto& x : f().value())` holds what it walks over.
  T value() && {
    require();
    return std::get<0>(std::move(state_));
  }
  T& operator*() & { return value(); }
  const T& operator*() const& { return value(); }
  T operator*() && { return std::move(*this).value(); }
  T* operator->() { return &value(); }
  const T* operator->() const { return &value(); }
  const Error& error() const { return std::get<1>(state_); }
  Error& error() { return std::get<1>(state_); }

 private:
  void require() const {
    if (!ok()) throw CheckFailure("value of an error: " + std::get<1>(state_).text());
  }
  std::variant<T, Error> state_;
};

template <>
class [[nodiscard]] Result<void> {
 public:
  Result() = default;
  Result(Error error) : error_(std::move(error)) {}  // NOLINT

  bool ok() const { return !error_.has_value(); }
  explicit operator bool() const { return ok(); }
  void value() const {
    if (error_) throw CheckFailure("value of an error: " + error_->text());
  }
  const Error& error() const { return *error_; }

 private:
  std::optional<Error> error_;
};

}  // namespace tokamak::base

namespace tokamak {
using base::Error;
using base::ErrorCode;
using base::Result;
}  // namespace tokamak

#define TKM_CONCAT_INNER(a, b) a##b
#define TKM_CONCAT(a, b) TKM_CONCAT_INNER(a, b)

/// Returns the error of `expr` from the enclosing function, if it has one.
#define TKM_RETURN_IF_ERROR(expr)                                   \
  do {                                                              \
    if (auto tkm_result = (expr); !tkm_result.ok()) {               \
      return ::tokamak::base::Error(std::move(tkm_result.error())); \
    }                                                               \
  } while (0)

/// TKM_ASSIGN(auto x, expr): x is the value of `expr`, or the enclosing function returns its error.
#define TKM_ASSIGN(target, expr) \
  TKM_ASSIGN_INNER(TKM_CONCAT(tkm_result_, __COUNTER__), target, expr)
#define TKM_ASSIGN_INNER(result, target, expr)                                \
  auto result = (expr);                                                       \
  if (!result.ok()) return ::tokamak::base::Error(std::move(result.error())); \
  target = std::move(result).value()
