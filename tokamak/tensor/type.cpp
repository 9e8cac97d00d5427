// SPDX-License-Identifier: Apache-2.0
#include "tokamak/tensor/type.h"

#include <charconv>

namespace tokamak::tensor {

int64_t num_elements(const Shape& shape) {
  int64_t count = 1;
  for (int64_t dim : shape) count *= dim;
  return count;
}

std::string shape_text(const Shape& shape) {
  std::string out = "[";
  for (size_t i = 0; i < shape.size(); ++i) out += fmt::format("{}{}", i ? ", " : "", shape[i]);
  return out + "]";
}

int64_t TensorType::columns() const {
  TKM_CHECK(!shape.empty() && shape.back().is_constant(), "columns of {}", text());
  return shape.back().size;
}

Shape TensorType::resolve(int64_t tokens, int64_t rows) const {
  Shape out;
  for (const Dim& dim : shape) {
    out.push_back(dim.is_constant() ? dim.size : dim.symbol == Symbol::kTokens ? tokens : rows);
  }
  return out;
}

std::string TensorType::text() const {
  std::string out = std::string(dtype_name(dtype)) + "[";
  for (size_t i = 0; i < shape.size(); ++i) {
    if (i) out += ", ";
    if (shape[i].is_constant())
      out += std::to_string(shape[i].size);
    else
      out += shape[i].symbol == Symbol::kTokens ? "T" : "R";
  }
  return out + "]";
}

Result<TensorType> TensorType::parse(std::string_view text) {
  auto bad = [&] { return base::invalid(fmt::format("'{}' is not a tensor type", text)); };
  size_t open = text.find('[');
  if (open == std::string_view::npos || text.back() != ']') return bad();
  TensorType type;
  TKM_ASSIGN(type.dtype, dtype_from_name(text.substr(0, open)));
  std::string_view dims = text.substr(open + 1, text.size() - open - 2);
  while (!dims.empty()) {
    size_t comma = dims.find(',');
    std::string_view dim = dims.substr(0, comma);
    dims = comma == std::string_view::npos ? std::string_view{} : dims.substr(comma + 1);
    while (dim.starts_with(' ')) dim.remove_prefix(1);
    if (dim == "T") {
      type.shape.push_back(kTokens);
    } else if (dim == "R") {
      type.shape.push_back(kRows);
    } else {
      int64_t size = 0;
      auto [end, code] = std::from_chars(dim.data(), dim.data() + dim.size(), size);
      if (code != std::errc() || end != dim.data() + dim.size() || size < 0) return bad();
      type.shape.push_back(size);
    }
  }
  return type;
}

}  // namespace tokamak::tensor
