// SPDX-License-Identifier: Apache-2.0
// What a render may spend. Each value that a template makes is made here and counted: its size, the
// depth of its nesting, the bytes of all live values, and the steps that making it took.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "tokamak/text/chat_template.h"
#include "tokamak/text/jinja_object.h"
#include "tokamak/text/jinja_value.h"

namespace tokamak::text::jinja {

class Heap {
 public:
  explicit Heap(const TemplateLimits& limits) : limits_(limits), steps_left_(limits.max_steps) {}
  Heap(const Heap&) = delete;
  Heap& operator=(const Heap&) = delete;

  const TemplateLimits& limits() const { return limits_; }

  void step(int64_t count = 1) {
    steps_left_ -= count;
    if (steps_left_ < 0) [[unlikely]]
      fail_steps();
  }
  /// Steps for reading or writing that many bytes.
  void step_bytes(size_t bytes) { step(1 + static_cast<int64_t>(bytes / kBytesPerStep)); }
  /// Steps for looking at each character of that many bytes.
  void step_characters(size_t bytes) { step(1 + static_cast<int64_t>(bytes / kCharactersPerStep)); }
  /// Fails if a string of that many bytes may not exist.
  void check_bytes(int64_t bytes) const {
    if (bytes > limits_.max_output_bytes) [[unlikely]]
      fail_bytes(bytes);
  }
  void check_items(int64_t count) const;
  void check_depth(int depth) const {
    if (depth > limits_.max_depth) [[unlikely]]
      fail_depth();
  }

  Value string(std::string text, bool is_markup = false);
  Value list(std::vector<Value> items);
  Value tuple(std::vector<Value> items);
  /// The pair (first, second).
  Value pair(Value first, Value second);
  Value group(Value grouper, Value list);
  Value dict(std::shared_ptr<Dict> dict);
  /// An object; `depth` is how many objects lie within one another below it.
  template <typename T, typename... Args>
  std::shared_ptr<T> make(int depth, Args&&... args) {
    auto object = std::make_shared<T>(std::forward<Args>(args)...);
    count(*object, sizeof(T), depth);
    return object;
  }
  /// Counts bytes that stay until the render ends.
  void keep(int64_t bytes) { add_live(bytes); }

 private:
  friend class Shared;
  // A render of B steps may write 64 B bytes: as long as evaluating B nodes, roughly.
  static constexpr size_t kBytesPerStep = 64;
  static constexpr size_t kCharactersPerStep = 8;
  // All live values together may take this many times what one of them may.
  static constexpr int64_t kLiveFactor = 4;

  Value sequence(std::vector<Value> items, bool is_tuple, bool is_group);
  void count(Shared& shared, int64_t bytes, int depth);
  void add_live(int64_t bytes);
  [[noreturn]] void fail_steps() const;
  [[noreturn]] void fail_bytes(int64_t bytes) const;
  [[noreturn]] void fail_depth() const;

  TemplateLimits limits_;
  int64_t steps_left_;
  int64_t live_bytes_ = 0;
};

}  // namespace tokamak::text::jinja
