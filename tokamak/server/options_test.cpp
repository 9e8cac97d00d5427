// SPDX-License-Identifier: Apache-2.0
#include "tokamak/server/options.h"

#include <limits>

#include <gtest/gtest.h>

namespace tokamak::server {
namespace {

template <typename T>
void expect_refused(T ServerOptions::*member, std::string_view name, T value) {
  ServerOptions options;
  options.*member = value;
  auto status = options.validate();
  ASSERT_FALSE(status.ok()) << name << " " << value;
  EXPECT_EQ(status.error().code, ErrorCode::kInvalid);
  EXPECT_TRUE(status.error().message.starts_with(name)) << status.error().message;
}

template <typename T>
void expect_bounded(const Field<ServerOptions, T>& field) {
  if constexpr (std::is_same_v<T, double>) {
    constexpr double kInfinity = std::numeric_limits<double>::infinity();
    for (double wrong :
         {std::numeric_limits<double>::quiet_NaN(), kInfinity, -kInfinity, -1., 0.}) {
      expect_refused(field.member, field.name, wrong);
    }
  } else if constexpr (std::is_same_v<T, int64_t>) {
    for (int64_t wrong : {std::numeric_limits<int64_t>::min(), int64_t{-1}}) {
      expect_refused(field.member, field.name, wrong);
    }
  }
}

TEST(ServerOptions, AreBoundedAndFinite) {
  EXPECT_TRUE(ServerOptions().validate().ok());
  std::apply([](const auto&... fields) { (expect_bounded(fields), ...); }, ServerOptions::kFields);
}

TEST(ServerOptions, AreNotEmptyTextsWhereThatMeansSomethingElse) {
  expect_refused(&ServerOptions::host, "host", std::string());
  expect_refused(&ServerOptions::root_path, "root_path", std::string("llm"));
  expect_refused(&ServerOptions::root_path, "root_path", std::string("/llm/"));
  expect_refused(&ServerOptions::tls_key, "tls_certificate", std::string("key.pem"));
  ServerOptions options;
  options.api_keys = {"a", ""};
  EXPECT_EQ(options.validate().error().message, "api_keys[1] is empty");
  options.api_keys = {};
  options.cors_origins = {"chat.example"};
  EXPECT_FALSE(options.validate().ok());
}

TEST(ServerOptions, GiveAllBodiesRoomForAtLeastTwo) {
  ServerOptions options;
  EXPECT_EQ(options.body_budget_bytes(), 32 * options.max_body_bytes);
  options.max_body_bytes_total = 2 * options.max_body_bytes;
  EXPECT_TRUE(options.validate().ok());
  EXPECT_EQ(options.body_budget_bytes(), 2 * options.max_body_bytes);
  --options.max_body_bytes_total;
  EXPECT_FALSE(options.validate().ok());
}

}  // namespace
}  // namespace tokamak::server
