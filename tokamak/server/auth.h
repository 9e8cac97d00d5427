// SPDX-License-Identifier: Apache-2.0
// API keys: several are allowed, and how long a comparison takes says nothing about them.
#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "tokamak/base/result.h"
#include "tokamak/server/exchange.h"

namespace tokamak::server {

class Auth {
 public:
  explicit Auth(const std::vector<std::string>& keys);
  /// Other keys. Those that were known before keep their numbers, and nobody else gets them.
  Auth with_keys(const std::vector<std::string>& keys) const;
  /// False: every request is let in.
  bool needed() const { return !keys_.empty(); }
  /// The number of the key that the request carries (`Authorization: Bearer KEY`, `X-Api-Key:
  /// KEY` or Azure's `Api-Key: KEY`); nothing if it carries none of ours. Compares digests, all of
  /// them, each in full.
  std::optional<int> key_of(const HttpRequest& request) const;

 private:
  using Digest = std::array<uint8_t, 32>;
  struct Key {
    Digest digest;
    int number = 0;
  };
  Auth() = default;
  Key numbered(const Digest& digest);

  std::vector<Key> keys_;
  std::vector<Key> known_;  // Also those that are none any more.
};

/// One key a line; empty lines and lines that begin with # are left out. Errors: io, invalid (no
/// key in it).
Result<std::vector<std::string>> read_key_file(const std::filesystem::path& file);

}  // namespace tokamak::server
