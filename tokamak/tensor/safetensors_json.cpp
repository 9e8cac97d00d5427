// SPDX-License-Identifier: Apache-2.0
#include "tokamak/tensor/safetensors_json.h"

#include <optional>
#include <unordered_set>

#include "tokamak/base/json.h"

namespace tokamak::tensor {
namespace {

using base::corrupt;

constexpr size_t kMaxDepth = 64, kMaxDims = 8;

/// Events with their place: `keys()` are those of the objects around the event, outermost first. An
/// object that has a key twice is an error, whatever it says.
class Events {
 public:
  explicit Events(std::string_view what) : what_(what) {}
  virtual ~Events() = default;

  Result<void> read(std::string_view text) {
    const bool whole = Json::sax_parse(text, this);
    if (error_) return *error_;
    TKM_CHECK(whole, "{}: reading stopped without an error", what_);
    return {};
  }

  // What nlohmann's parser calls.
  bool null() { return scalar("null"); }
  bool boolean(bool) { return scalar("a boolean"); }
  bool number_integer(int64_t) { return scalar("a negative number"); }
  bool number_unsigned(uint64_t value) { return depth_fits() && on_unsigned(value); }
  bool number_float(double, const std::string&) { return scalar("a fraction"); }
  bool string(std::string& value) { return depth_fits() && on_string(value); }
  bool binary(Json::binary_t&) { return scalar("binary"); }
  bool start_object(size_t) {
    if (!depth_fits() || !on_begin(true)) return false;
    levels_.push_back({.is_object = true});
    return true;
  }
  bool key(std::string& name) {
    Level& level = levels_.back();
    if (!level.seen.insert(name).second)
      return fail(fmt::format("'{}' appears twice{}", name, where()));
    level.key = std::move(name);
    return true;
  }
  bool end_object() { return end(); }
  bool start_array(size_t) {
    if (!depth_fits() || !on_begin(false)) return false;
    levels_.push_back({.is_object = false});
    return true;
  }
  bool end_array() { return end(); }
  bool parse_error(size_t position, const std::string&, const nlohmann::detail::exception&) {
    return fail(fmt::format("not valid JSON at byte {}", position));
  }

 protected:
  /// Values; false stops.
  virtual bool on_begin(bool is_object) = 0;
  virtual bool on_end() { return true; }
  virtual bool on_unsigned(uint64_t value) = 0;
  virtual bool on_string(std::string& value) = 0;
  virtual bool on_other(std::string_view kind) = 0;

  bool fail(std::string message) {
    if (!error_) error_ = corrupt(fmt::format("{}: {}", what_, message));
    return false;
  }
  size_t depth() const { return levels_.size(); }
  const std::string& key_at(size_t level) const { return levels_[level].key; }

 private:
  struct Level {
    bool is_object;
    std::string key = {};
    std::unordered_set<std::string> seen = {};
  };
  bool scalar(std::string_view kind) { return depth_fits() && on_other(kind); }
  bool end() {
    levels_.pop_back();
    return on_end();
  }
  bool depth_fits() {
    return depth() < kMaxDepth || fail(fmt::format("JSON is nested more than {} deep", kMaxDepth));
  }
  std::string where() const {
    return levels_.size() > 1 ? fmt::format(" in '{}'", levels_[0].key) : std::string();
  }

  std::string_view what_;
  std::vector<Level> levels_;
  std::optional<Error> error_;
};

class HeaderEvents : public Events {
 public:
  HeaderEvents(std::string_view what, SafetensorsHeader& header) : Events(what), header_(header) {}

 private:
  bool in_metadata() const { return depth() >= 2 && key_at(0) == "__metadata__"; }
  bool in_list() const {
    return depth() == 3 && (key_at(1) == "shape" || key_at(1) == "data_offsets");
  }
  bool fail_tensor(std::string_view problem) {
    return fail(fmt::format("tensor '{}' {}", key_at(0), problem));
  }

  bool on_begin(bool is_object) override {
    if (depth() == 0) return is_object || fail("the header is not a JSON object");
    if (depth() == 1 && !is_object)
      return key_at(0) == "__metadata__" ? fail("__metadata__ is not an object")
                                         : fail_tensor("is not described by an object");
    if (in_metadata()) return fail(fmt::format("__metadata__ '{}' is not a string", key_at(1)));
    if (depth() == 1) {
      entry_ = {};
      seen_ = 0;
    }
    if (depth() == 2 && !is_object && key_at(1) == "shape") seen_ |= kShape;
    if (depth() == 2 && !is_object && key_at(1) == "data_offsets") {
      seen_ |= kOffsets;
      num_offsets_ = 0;
    }
    return !in_list() || not_unsigned();
  }

  bool on_end() override {
    if (depth() == 2 && key_at(0) != "__metadata__" && key_at(1) == "data_offsets" &&
        (seen_ & kOffsets) && num_offsets_ != 2)
      return fail_tensor("has data_offsets that are not a range");
    if (depth() != 1 || key_at(0) == "__metadata__") return true;
    if (seen_ != (kDtype | kShape | kOffsets))
      return fail_tensor("lacks dtype, shape or data_offsets");
    header_.tensors.emplace(key_at(0), std::move(entry_));
    return true;
  }

  bool on_unsigned(uint64_t value) override {
    if (!in_list() || in_metadata()) return on_other("a number");
    if (key_at(1) == "shape") {
      if (entry_.shape.size() == kMaxDims)
        return fail_tensor(fmt::format("has more than {} dimensions", kMaxDims));
      if (value > uint64_t{1} << 40) return fail_tensor("has a shape whose size overflows");
      entry_.shape.push_back(static_cast<int64_t>(value));
      return true;
    }
    if (num_offsets_ < 2) (num_offsets_ == 0 ? entry_.begin : entry_.end) = value;
    ++num_offsets_;
    return true;
  }

  bool on_string(std::string& value) override {
    if (in_metadata() && depth() == 2) {
      header_.metadata.emplace(key_at(1), std::move(value));
      return true;
    }
    if (depth() == 2 && key_at(1) == "dtype") {
      entry_.dtype = std::move(value);
      seen_ |= kDtype;
      return true;
    }
    return on_other("a string");
  }

  bool on_other(std::string_view) override {
    if (depth() == 0) return fail("the header is not a JSON object");
    if (depth() == 1)
      return key_at(0) == "__metadata__" ? fail("__metadata__ is not an object")
                                         : fail_tensor("is not described by an object");
    if (in_metadata()) return fail(fmt::format("__metadata__ '{}' is not a string", key_at(1)));
    return !in_list() || not_unsigned();
  }
  bool not_unsigned() {
    return fail_tensor(
        fmt::format("{} holds something that is not an unsigned integer", key_at(1)));
  }

  enum : unsigned { kDtype = 1, kShape = 2, kOffsets = 4 };
  SafetensorsHeader& header_;
  SafetensorsEntry entry_;
  unsigned seen_ = 0;  ///< Of the tensor at hand, which members.
  size_t num_offsets_ = 0;
};

class WeightMapEvents : public Events {
 public:
  using Events::Events;
  std::vector<std::pair<std::string, std::string>> map;
  bool found = false;

 private:
  bool in_map() const { return depth() >= 2 && key_at(0) == "weight_map"; }
  bool on_begin(bool is_object) override {
    if (in_map()) return on_other("");
    if (depth() == 1 && key_at(0) == "weight_map") found = is_object;
    return true;
  }
  bool on_unsigned(uint64_t) override { return on_other("a number"); }
  bool on_string(std::string& value) override {
    if (in_map()) map.emplace_back(key_at(1), std::move(value));
    return true;
  }
  bool on_other(std::string_view) override {
    return !in_map() || fail(fmt::format("the file of tensor '{}' is not a string", key_at(1)));
  }
};

}  // namespace

Result<void> read_header_text(std::string_view text,
                              std::string_view what,
                              SafetensorsHeader& header) {
  return HeaderEvents(what, header).read(text);
}

Result<std::vector<std::pair<std::string, std::string>>> read_weight_map(std::string_view text,
                                                                         std::string_view what) {
  WeightMapEvents events(what);
  TKM_RETURN_IF_ERROR(events.read(text));
  if (!events.found) return corrupt(fmt::format("{}: 'weight_map' is missing", what));
  return std::move(events.map);
}

}  // namespace tokamak::tensor
