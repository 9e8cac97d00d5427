// SPDX-License-Identifier: Apache-2.0
#include <filesystem>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include "tokamak/base/file.h"
#include "tokamak/cli/command_line.h"
#include "tokamak/tensor/safetensors.h"

namespace tokamak::cli {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

/// The model that ships, as a checkpoint of two shards of which one holds everything.
class InspectTest : public testing::Test {
 protected:
  void SetUp() override {
    fs::remove_all(folder_);
    ASSERT_TRUE(base::make_folders(folder_).ok());
    ::setenv("TOKAMAK_CACHE_DIR", (folder_ / "cache").c_str(), 1);
    const fs::path model = fs::absolute("models/storyteller");
    fs::create_symlink(model / "config.json", folder_ / "config.json");
    fs::create_symlink(model / "model.safetensors", folder_ / kShard);
    Json map = Json::object();
    for (const std::string& name : tensor::TensorFiles::open(model).value().names())
      map[name] = kShard;
    ASSERT_TRUE(base::write_file_atomic(folder_ / "model.safetensors.index.json",
                                        Json{{"weight_map", map}}.dump())
                    .ok());
  }
  void TearDown() override {
    ::unsetenv("TOKAMAK_CACHE_DIR");
    fs::remove_all(folder_);
  }
  Result<int> inspect(std::vector<std::string> options = {}) {
    std::vector<std::string> arguments = {"inspect", folder_.string(), "--no-tune", "--quiet"};
    arguments.insert(arguments.end(), options.begin(), options.end());
    std::unique_ptr<CLI::App> app = make_app();
    auto command = parse_command_line(*app, arguments);
    if (!command.ok()) return command.error();
    testing::internal::CaptureStdout();
    auto status = (*command)();
    printed_ = testing::internal::GetCapturedStdout();
    return status;
  }

  static constexpr const char* kShard = "model-00001-of-00002.safetensors";
  const fs::path folder_ =
      fs::temp_directory_path() / fmt::format("tokamak_inspect_test_{}", ::getpid());
  std::string printed_;
};

TEST_F(InspectTest, the_weights_of_shards_are_looked_at) {
  auto status = inspect();
  ASSERT_TRUE(status.ok()) << status.error().text();
  EXPECT_THAT(printed_, HasSubstr("15.7 M parameters"));
  fs::remove(folder_ / kShard);
  status = inspect();
  ASSERT_FALSE(status.ok()) << "a shard is missing";
  EXPECT_THAT(status.error().message, HasSubstr(kShard));
  EXPECT_EQ(base::exit_status(status.error().code), 2);
}

TEST_F(InspectTest, without_weights_the_config_alone_is_enough) {
  fs::remove(folder_ / kShard);
  fs::remove(folder_ / "model.safetensors.index.json");
  auto status = inspect();
  EXPECT_TRUE(status.ok()) << status.error().text();
}

TEST_F(InspectTest, a_stage_or_pass_that_does_not_exist_is_bad_input) {
  EXPECT_EQ(inspect({"--stage", "bytes"}).error().code, ErrorCode::kInvalid);
  EXPECT_FALSE(inspect({"--stage", "after:no_such_pass"}).ok());
}

}  // namespace
}  // namespace tokamak::cli
