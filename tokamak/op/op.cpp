// SPDX-License-Identifier: Apache-2.0
#include "tokamak/op/op.h"

#include "tokamak/base/json.h"

namespace tokamak::op {

Result<Op> Op::parse(std::string_view name, const Json& attributes) {
  for (const OpInfo* info : all_ops()) {
    if (info->name != name) continue;
    auto parsed = info->from_json(attributes);
    if (!parsed.ok()) return type_error(name, parsed.error().message);
    Op op;
    op.info_ = info;
    op.attributes_ = *parsed;
    return op;
  }
  return base::invalid(fmt::format("'{}' is not an op", name));
}

Json Op::attributes() const {
  return info_->to_json(attributes_.get());
}

Error type_error(std::string_view op, std::string message) {
  return base::invalid(fmt::format("{}: {}", op, message));
}

Result<void> expect_inputs(std::string_view op, TypeSpan inputs, size_t count) {
  if (inputs.size() == count) return {};
  return type_error(op, fmt::format("{} inputs given, takes {}", inputs.size(), count));
}

Result<void> expect_rank(std::string_view op,
                         std::string_view input,
                         const TensorType& type,
                         size_t rank) {
  if (type.rank() != rank) {
    return type_error(op,
                      fmt::format("{} is {}, must have {} dimensions", input, type.text(), rank));
  }
  if (rank < 2 || type.shape.back().is_constant()) return {};
  return type_error(op, fmt::format("{} is {}, its columns must be constant", input, type.text()));
}

Result<void> expect_float(std::string_view op, std::string_view input, const TensorType& type) {
  if (tensor::is_float(type.dtype)) return {};
  return type_error(op, fmt::format("{} is {}, must be a float type", input, type.text()));
}

Result<void> expect_ids(std::string_view op, std::string_view input, const TensorType& type) {
  if (type.dtype == DType::kI32 && type.rank() == 1) return {};
  return type_error(op, fmt::format("{} is {}, must be i32 of one dimension", input, type.text()));
}

}  // namespace tokamak::op
