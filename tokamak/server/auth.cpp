// SPDX-License-Identifier: Apache-2.0
#include "tokamak/server/auth.h"

#include <openssl/crypto.h>
#include <openssl/sha.h>

#include "tokamak/base/file.h"

namespace tokamak::server {
namespace {

constexpr std::string_view kBearer = "bearer ";

std::array<uint8_t, 32> digest_of(std::string_view key) {
  std::array<uint8_t, 32> digest;
  SHA256(reinterpret_cast<const unsigned char*>(key.data()), key.size(), digest.data());
  return digest;
}

bool begins_with_bearer(std::string_view value) {
  if (value.size() < kBearer.size()) return false;
  for (size_t i = 0; i < kBearer.size(); ++i) {
    if ((value[i] | 0x20) != kBearer[i]) return false;
  }
  return true;
}

std::string_view trimmed(std::string_view text) {
  const size_t begin = text.find_first_not_of(" \t\r");
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(" \t\r") - begin + 1);
}

std::optional<std::string_view> key_in(const HttpRequest& request) {
  if (auto value = request.header("authorization"); value && begins_with_bearer(*value)) {
    return trimmed(value->substr(kBearer.size()));
  }
  if (auto key = request.header("x-api-key")) return key;
  return request.header("api-key");
}

}  // namespace

Auth::Auth(const std::vector<std::string>& keys) {
  for (const std::string& key : keys) keys_.push_back(numbered(digest_of(key)));
}

Auth Auth::with_keys(const std::vector<std::string>& keys) const {
  Auth other;
  other.known_ = known_;
  for (const std::string& key : keys) other.keys_.push_back(other.numbered(digest_of(key)));
  return other;
}

Auth::Key Auth::numbered(const Digest& digest) {
  for (const Key& key : known_) {
    if (key.digest == digest) return key;
  }
  known_.push_back({digest, static_cast<int>(known_.size())});
  return known_.back();
}

std::optional<int> Auth::key_of(const HttpRequest& request) const {
  auto key = key_in(request);
  if (!key) return {};
  const Digest given = digest_of(*key);
  int found = -1;
  for (const Key& ours : keys_) {
    const bool same = CRYPTO_memcmp(given.data(), ours.digest.data(), given.size()) == 0;
    found = same ? ours.number : found;
  }
  if (found < 0) return {};
  return found;
}

Result<std::vector<std::string>> read_key_file(const std::filesystem::path& file) {
  TKM_ASSIGN(std::string content, base::read_file(file, 1 << 20));
  std::vector<std::string> keys;
  std::string_view rest = content;
  while (!rest.empty()) {
    const size_t end = std::min(rest.find('\n'), rest.size());
    const std::string_view line = trimmed(rest.substr(0, end));
    rest.remove_prefix(std::min(end + 1, rest.size()));
    if (!line.empty() && line[0] != '#') keys.emplace_back(line);
  }
  if (keys.empty()) return base::invalid(fmt::format("{} holds no key", file.string()));
  return keys;
}

}  // namespace tokamak::server
