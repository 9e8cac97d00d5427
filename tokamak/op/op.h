// SPDX-License-Identifier: Apache-2.0
// An operator: its attributes, its type rule with its errors, and its fp32 reference, which is the
// oracle of every pass and kernel. Each op is a struct in a file of its own; ops.cpp is the table
// of all of them.
#pragma once

#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "tokamak/base/fields.h"
#include "tokamak/base/json_fwd.h"
#include "tokamak/op/batch.h"
#include "tokamak/tensor/tensor.h"

namespace tokamak::op {

using Types = std::vector<TensorType>;
using TypeSpan = std::span<const TensorType>;
/// Inputs and outputs of a reference: f32 tensors, ids and positions i32. Outputs are allocated to
/// their inferred types.
using TensorSpan = std::span<const TensorView>;

/// Type-erased description of an op struct T, which has kName, kFields, infer and reference (see
/// rms_norm.h for the form).
struct OpInfo {
  std::string_view name;
  Json (*to_json)(const void* attributes);
  Result<std::shared_ptr<const void>> (*from_json)(const Json&);
  bool (*equal)(const void*, const void*);
  /// Output types, or what is wrong with the inputs ("matmul: x has 64 columns, but w takes 32").
  Result<Types> (*infer)(const void* attributes, TypeSpan inputs);
  void (*reference)(const void* attributes,
                    const BatchView&,
                    TensorSpan inputs,
                    TensorSpan outputs);
  /// The op reads or writes the key/value cache; it may not be removed or merged with an equal one.
  bool has_state;
};

/// Of the ops of all_ops(): ops.cpp has the definition.
template <typename T>
const OpInfo& info_of();

/// An op with its attributes: a cheap immutable value.
class Op {
 public:
  Op() = default;
  template <typename T>
  requires requires { T::kName; }
  Op(T attributes)  // NOLINT: implicit by design
      : info_(&info_of<T>()), attributes_(std::make_shared<T>(std::move(attributes))) {}
  /// From the name and attributes of a text form or an engine. Errors: invalid (unknown op or
  /// attribute).
  static Result<Op> parse(std::string_view name, const Json& attributes);

  std::string_view name() const { return info_->name; }
  Json attributes() const;
  bool has_state() const { return info_->has_state; }
  Result<Types> infer(TypeSpan inputs) const { return info_->infer(attributes_.get(), inputs); }
  void reference(const BatchView& batch, TensorSpan inputs, TensorSpan outputs) const {
    info_->reference(attributes_.get(), batch, inputs, outputs);
  }
  /// The attributes as T, or null if this is another op.
  template <typename T>
  const T* as() const {
    return info_ == &info_of<T>() ? static_cast<const T*>(attributes_.get()) : nullptr;
  }
  friend bool operator==(const Op& a, const Op& b) {
    return a.info_ == b.info_ && a.info_->equal(a.attributes_.get(), b.attributes_.get());
  }

 private:
  const OpInfo* info_ = nullptr;
  std::shared_ptr<const void> attributes_;
};

/// Every op, in the order of a decoder. The one table.
std::span<const OpInfo* const> all_ops();

/// Type-rule helpers: each error begins with the op's name. expect_rank also wants the columns of
/// what has rows to be constant.
Result<void> expect_inputs(std::string_view op, TypeSpan inputs, size_t count);
Result<void> expect_rank(std::string_view op,
                         std::string_view input,
                         const TensorType& type,
                         size_t rank);
Result<void> expect_float(std::string_view op, std::string_view input, const TensorType& type);
Result<void> expect_ids(std::string_view op, std::string_view input, const TensorType& type);
Error type_error(std::string_view op, std::string message);

}  // namespace tokamak::op
