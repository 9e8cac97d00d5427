// SPDX-License-Identifier: Apache-2.0
// The iteration of a for loop and the `loop` that its body sees.
#pragma once

#include <memory>

#include "tokamak/text/jinja_interpreter.h"

namespace tokamak::text::jinja {

/// The items of a loop that pass its `if`. They are tested one by one as the loop gets to them.
class TestedItems : public Iterator {
 public:
  TestedItems(Interpreter& interpreter,
              const ForStatement& node,
              Activation& frame,
              std::shared_ptr<Iterator> source)
      : interpreter_(interpreter), node_(node), frame_(frame), source_(std::move(source)) {}
  bool next(Value& out) override;

 private:
  Interpreter& interpreter_;
  const ForStatement& node_;
  Activation& frame_;
  std::shared_ptr<Iterator> source_;
  bool is_first_ = true;
};

class Loop : public Object, public std::enable_shared_from_this<Loop> {
 public:
  /// `items` is what is looped over, if its length can be asked; `closure` is null unless the loop
  /// is recursive.
  Loop(Interpreter& interpreter,
       const ForStatement& node,
       Value items,
       std::shared_ptr<Iterator> iterator,
       Activation* closure,
       int depth);
  std::string_view type_name() const override { return "LoopContext"; }
  void append_repr(Heap& heap, std::string& out, int depth) const override;
  Value attribute(Interpreter& interpreter, const Value& name) const override;
  bool is_callable() const override { return true; }
  Value call(Interpreter& interpreter, const Arguments& arguments) override;
  std::optional<int64_t> length() const override { return num_items(); }
  bool is_iterable() const override { return true; }
  std::shared_ptr<Iterator> iterate(Heap& heap, bool reversed) override;

  /// Moves to the next item.
  bool next(Value& item);
  /// The loop is over: whoever still holds this sees no further items.
  void finish();
  Value cycle(const Arguments& arguments) const;
  bool changed(const Arguments& arguments);

 private:
  bool peek() const;
  int64_t num_items() const;

  Interpreter& interpreter_;
  const ForStatement& node_;
  mutable std::shared_ptr<Iterator> iterator_;
  Activation* closure_;
  int depth_;
  int64_t index0_ = -1;
  mutable int64_t num_items_ = -1;  // Unknown yet.
  mutable Value after_;             // What peek() found; missing if nothing.
  Value before_, current_;
};

}  // namespace tokamak::text::jinja
