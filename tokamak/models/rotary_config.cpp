// SPDX-License-Identifier: Apache-2.0
#include "tokamak/models/rotary_config.h"

#include <algorithm>
#include <cmath>
#include <set>

namespace tokamak::models {
namespace {

/// Somewhere that settings stand.
struct Place {
  std::string name;
  const Json* object;
};

/// A setting and where it was found.
struct Setting {
  const Json* value = nullptr;
  std::string place;
};

/// Settings that change nothing at this value (any, if empty), whatever the type of scaling.
constexpr std::pair<std::string_view, std::string_view> kInert[] = {
    {"attention_factor", "1"},
    {"attn_factor", "1"},
    {"extrapolation_factor", "1"},
    {"factor", "1"},
    {"finetuned", ""},  // Says how the checkpoint was made.
    {"original_max_position_embeddings", ""},
};

bool is_layer_type(std::string_view key) {
  return key.ends_with("_attention");
}

class RotaryReader {
 public:
  RotaryReader(ConfigReader& config, const RotaryFamily& family)
      : config_(config), family_(family) {
    if (!family.nested_only) add_place("rope_scaling");
    add_place("rope_parameters");
    if (family.nested_only) config.ignore("rope_scaling");
  }

  Rotary read() {
    settings_.theta = static_cast<float>(number(family_.theta_key, "rope_theta", family_.theta));
    const double partial =
        number("partial_rotary_factor", "partial_rotary_factor", family_.partial);
    if (!(partial >= 0 && partial <= 1)) {
      fail(base::invalid(
          fmt::format("'partial_rotary_factor' = {}, must be between 0 and 1", partial)));
      return {};
    }
    settings_.rotary_dim = static_cast<int64_t>(static_cast<double>(family_.head_dim) * partial);
    if (settings_.rotary_dim % 2)
      fail(
          base::unsupported(fmt::format("'partial_rotary_factor' = {} rotates {} of {} elements of "
                                        "a head, which are no pairs",
                                        partial,
                                        settings_.rotary_dim,
                                        family_.head_dim)));
    max_positions_ = family_.max_positions;
    read_original();
    read_scaling(type());
    refuse_what_nobody_read();
    if (auto checked = op::check_rotary("rope", settings_, family_.head_dim); !checked.ok())
      fail(checked.error());
    return {settings_, max_positions_};
  }

 private:
  void fail(Error error) { config_.fail(std::move(error)); }

  /// The dictionary, and what it has for this family's layers.
  void add_place(std::string_view name) {
    const Json* found = config_.find(name);
    if (!found) return;
    if (!found->is_object())
      return fail(base::invalid(fmt::format("'{}' must be an object, is {}", name, found->dump())));
    if (!family_.nested_only) places_.push_back({std::string(name), found});
    std::vector<Place> layers;
    for (const auto& [key, value] : found->items()) {
      if (!is_layer_type(key)) continue;
      if (value.is_object())
        layers.push_back({fmt::format("{}.{}", name, key), &value});
      else if (!value.is_null() || (key == family_.layer_type && !family_.nested_only))
        fail(base::unsupported(fmt::format(
            "'{}.{}' = {}: layers without rotation are not supported", name, key, value.dump())));
    }
    const bool is_nested = !layers.empty();
    if (is_nested && !family_.layer_type.empty()) {
      std::erase_if(layers, [&](const Place& layer) {
        return !layer.name.ends_with("." + std::string(family_.layer_type));
      });
    } else if (is_nested) {
      // One kind of layers: full attention, or whatever they agree on.
      auto full = std::ranges::find_if(
          layers, [](const Place& layer) { return layer.name.ends_with(".full_attention"); });
      for (const Place& layer : layers) {
        if (*layer.object != *layers[0].object)
          return fail(base::invalid(
              fmt::format("'{}' differs from '{}', but this family's layers are all of one kind",
                          layer.name,
                          layers[0].name)));
      }
      layers = {full == layers.end() ? layers[0] : *full};
    }
    places_.insert(places_.end(), layers.begin(), layers.end());
  }

  /// Every place that has the setting agrees on its value.
  Setting find(std::string_view key, std::string_view top_level_key = {}) {
    read_.emplace(key);
    Setting out;
    auto take = [&](const Json* value, std::string place) {
      if (!value) return;
      if (out.value && *out.value != *value) {
        fail(base::invalid(fmt::format("'{}' is {} in {}, but {} in {}",
                                       key,
                                       out.value->dump(),
                                       out.place,
                                       value->dump(),
                                       place),
                           "keep the one that the model was made with"));
      }
      if (!out.value) out = {value, std::move(place)};
    };
    for (const Place& place : places_) take(base::find(*place.object, key), "'" + place.name + "'");
    if (!top_level_key.empty())
      take(config_.find(top_level_key), fmt::format("the top level ('{}')", top_level_key));
    return out;
  }

  double number(std::string_view top_level_key,
                std::string_view key,
                std::optional<double> fallback) {
    return number_of(key, find(key, top_level_key), fallback);
  }
  double number(std::string_view key, std::optional<double> fallback = {}) {
    return number_of(key, find(key), fallback);
  }
  double number_of(std::string_view key, const Setting& setting, std::optional<double> fallback) {
    if (setting.value && setting.value->is_number()) return setting.value->get<double>();
    if (setting.value)
      fail(base::invalid(fmt::format(
          "'{}' = {} in {} must be a number", key, setting.value->dump(), setting.place)));
    else if (!fallback)
      fail(base::invalid(fmt::format("rotary scaling '{}' lacks '{}'", type_, key)));
    return fallback.value_or(1.0);
  }

  /// "default" only if nobody names another one.
  std::string type() {
    std::string out, where;
    for (const Place& place : places_) {
      for (std::string_view key : {"rope_type", "type"}) {
        read_.emplace(key);
        const Json* value = base::find(*place.object, key);
        if (!value) continue;
        if (!value->is_string()) {
          fail(base::invalid(
              fmt::format("'{}.{}' = {} must be a string", place.name, key, value->dump())));
          continue;
        }
        std::string name = value->get<std::string>(),
                    here = fmt::format("'{}.{}'", place.name, key);
        if (name == "su" || (name == "yarn" && family_.yarn_is_longrope)) name = "longrope";
        if (name == "none") name = "default";
        if (out.empty() || out == "default") {
          out = name;
          where = here;
        } else if (name != "default" && name != out) {
          fail(base::invalid(
              fmt::format("rotary scaling is '{}' in {}, but '{}' in {}", out, where, name, here),
              "keep the one that the model was made with"));
        }
      }
    }
    return out.empty() ? "default" : out;
  }

  void read_original() {
    constexpr std::string_view kKey = "original_max_position_embeddings";
    const int64_t usual =
        family_.original_positions ? family_.original_positions : family_.max_positions;
    const double original = number(kKey, kKey, static_cast<double>(usual));
    if (original >= 1 && original < 0x1p31)
      original_ = static_cast<int64_t>(original);
    else
      fail(base::invalid(fmt::format("'{}' = {}, must be between 1 and 2^31 - 1", kKey, original)));
  }

  void read_scaling(std::string name) {
    type_ = std::move(name);
    if (type_ == "default") return;
    if (type_ == "linear") return read_linear();
    if (type_ == "dynamic") return read_dynamic();
    if (type_ == "llama3") return read_llama3();
    if (type_ == "yarn") return read_yarn();
    if (type_ == "longrope") return read_longrope();
    fail(base::unsupported(fmt::format(
        "rotary scaling '{}' is not one of default, linear, dynamic, llama3, yarn, longrope",
        type_)));
  }

  void stretch(double factor, int64_t positions) {
    if (family_.stretched) return;
    const double stretched = factor * static_cast<double>(positions);
    if (stretched >= 1 && stretched < 0x1p31)
      max_positions_ = static_cast<int64_t>(stretched);
    else
      fail(base::invalid(fmt::format(
          "{} positions stretched by 'factor' = {} are too many or too few", positions, factor)));
  }

  void read_linear() {
    settings_.scaling = op::RopeScaling::kLinear;
    const double factor = number("factor");
    settings_.factor = static_cast<float>(factor);
    stretch(factor, original_);
  }

  /// Frequencies change with the length only beyond max_position_embeddings; up to there, which is
  /// what is served, they are the plain ones.
  void read_dynamic() { number("factor"); }

  void read_llama3() {
    settings_.scaling = op::RopeScaling::kLlama3;
    settings_.factor = static_cast<float>(number("factor"));
    settings_.low_freq_factor = static_cast<float>(number("low_freq_factor"));
    settings_.high_freq_factor = static_cast<float>(number("high_freq_factor"));
    settings_.original_max_positions = original_;
  }

  /// The factor, or the ratio of the lengths.
  double length_factor() {
    return number("factor",
                  static_cast<double>(family_.max_positions) / static_cast<double>(original_));
  }

  void read_yarn() {
    settings_.scaling = op::RopeScaling::kYarn;
    const double factor = length_factor();
    settings_.factor = static_cast<float>(factor);
    settings_.beta_fast = static_cast<float>(number("beta_fast", 32.0));
    settings_.beta_slow = static_cast<float>(number("beta_slow", 1.0));
    const Setting truncate = find("truncate");
    if (truncate.value && truncate.value->is_boolean())
      settings_.truncate = truncate.value->get<bool>();
    else if (truncate.value)
      fail(base::invalid(fmt::format(
          "'truncate' = {} in {} must be true or false", truncate.value->dump(), truncate.place)));
    settings_.original_max_positions = original_;
    auto magnitude = [&](double weight) {
      return factor <= 1 ? 1.0 : 0.1 * weight * std::log(factor) + 1.0;
    };
    const double all = number("mscale_all_dim", 0.0), own = number("mscale", 0.0);
    settings_.attention_factor = static_cast<float>(
        number("attention_factor", own && all ? magnitude(own) / magnitude(all) : magnitude(1.0)));
    stretch(factor, original_);
  }

  std::vector<float> factors(std::string_view key) {
    const Setting setting = find(key);
    if (!setting.value) {
      fail(base::invalid(fmt::format("rotary scaling 'longrope' lacks '{}'", key)));
      return {};
    }
    auto values = base::get_numbers(Json{{key, *setting.value}}, key);
    if (!values.ok()) {
      fail(values.error());
      return {};
    }
    return {values->begin(), values->end()};
  }

  void read_longrope() {
    settings_.scaling = op::RopeScaling::kLongRope;
    settings_.original_max_positions = original_;
    settings_.factors = factors("short_factor");
    settings_.long_factors = factors("long_factor");
    const double factor = length_factor(), original = static_cast<double>(original_);
    settings_.attention_factor = static_cast<float>(
        number("attention_factor",
               factor <= 1.0 ? 1.0 : std::sqrt(1.0 + std::log(factor) / std::log(original))));
  }

  void refuse_what_nobody_read() {
    for (const Place& place : places_) {
      for (const auto& [key, value] : place.object->items()) {
        if (read_.contains(key) || value.is_null() || value == Json(false)) continue;
        if (is_layer_type(key) && value.is_object()) continue;
        auto inert = std::ranges::find(kInert, key, [](const auto& row) { return row.first; });
        if (inert != std::end(kInert) &&
            (inert->second.empty() || value == Json::parse(inert->second)))
          continue;
        fail(base::unsupported(fmt::format("'{}.{}' = {} is not read by rotary scaling '{}'",
                                           place.name,
                                           key,
                                           value.dump().substr(0, 80),
                                           type_)));
      }
    }
  }

  ConfigReader& config_;
  const RotaryFamily& family_;
  std::vector<Place> places_;
  std::set<std::string, std::less<>> read_;
  std::string type_;
  op::RotarySettings settings_;
  int64_t original_ = 1, max_positions_ = 0;
};

}  // namespace

Rotary read_rotary(ConfigReader& config, const RotaryFamily& family) {
  return RotaryReader(config, family).read();
}

}  // namespace tokamak::models
