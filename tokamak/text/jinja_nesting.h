// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "tokamak/text/jinja_interpreter.h"

namespace tokamak::text::jinja {

/// Counts one level of evaluation while it lives. The parser bounds what a template nests in its
/// source; calls multiply that, and this bounds the product and with it the stack.
class Interpreter::Nesting {
 public:
  explicit Nesting(Interpreter& interpreter) : depth_(interpreter.depth_) {
    const TemplateLimits& limits = interpreter.heap_.limits();
    if (depth_ >= kLevelsPerDepth * limits.max_depth) {
      fail("evaluation is nested {} deep, {} times max_depth = {}",
           depth_,
           kLevelsPerDepth,
           limits.max_depth);
    }
    ++depth_;
  }
  ~Nesting() { --depth_; }
  Nesting(const Nesting&) = delete;
  Nesting& operator=(const Nesting&) = delete;

 private:
  static constexpr int kLevelsPerDepth = 8;
  int& depth_;
};

/// Sets a value until the end of the scope.
template <typename T>
class Temporarily {
 public:
  Temporarily(T& place, T value) : place_(place), saved_(std::exchange(place, value)) {}
  ~Temporarily() { place_ = saved_; }
  Temporarily(const Temporarily&) = delete;
  Temporarily& operator=(const Temporarily&) = delete;

 private:
  T& place_;
  T saved_;
};

}  // namespace tokamak::text::jinja
