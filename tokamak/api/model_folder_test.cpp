// SPDX-License-Identifier: Apache-2.0
#include "tokamak/api/model_folder.h"

#include <cstdlib>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include "tokamak/base/file.h"

namespace tokamak::api {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

/// A hub's cache of its own, with one model.
class ModelFolderTest : public testing::Test {
 protected:
  void SetUp() override {
    fs::remove_all(root_);
    ASSERT_TRUE(base::make_folders(snapshot_).ok());
    ASSERT_TRUE(base::make_folders(repository_ / "refs").ok());
    write(repository_ / "refs/main", "0123abcd\n");
    write(snapshot_ / "config.json", "{}");
    for (const char* name : kVariables) ::unsetenv(name);
    ::setenv("HF_HUB_CACHE", root_.c_str(), 1);
  }
  void TearDown() override {
    for (const char* name : kVariables) ::unsetenv(name);
    fs::remove_all(root_);
  }
  static void write(const fs::path& path, std::string_view text) {
    ASSERT_TRUE(base::write_file_atomic(path, text).ok());
  }

  static constexpr const char* kVariables[] = {"HF_HUB_CACHE", "HF_HOME", "XDG_CACHE_HOME"};
  const fs::path root_ =
      fs::temp_directory_path() / fmt::format("tokamak_model_folder_{}", ::getpid()) / "hub";
  const fs::path repository_ = root_ / "models--some-org--Tiny-1.5";
  const fs::path snapshot_ = repository_ / "snapshots" / "0123abcd";
};

TEST_F(ModelFolderTest, a_folder_is_itself) {
  EXPECT_EQ(find_model(snapshot_).value(), snapshot_);
}

TEST_F(ModelFolderTest, an_id_is_found_where_the_hubs_own_tools_put_it) {
  EXPECT_EQ(find_model("some-org/Tiny-1.5").value(), snapshot_);
  ::unsetenv("HF_HUB_CACHE");
  EXPECT_FALSE(find_model("some-org/Tiny-1.5").ok());
  ::setenv("HF_HOME", root_.parent_path().c_str(), 1);
  EXPECT_EQ(find_model("some-org/Tiny-1.5").value(), snapshot_);
  ::unsetenv("HF_HOME");
  ::setenv("XDG_CACHE_HOME", (root_.parent_path() / "cache").c_str(), 1);
  ASSERT_TRUE(base::make_folders(root_.parent_path() / "cache/huggingface").ok());
  fs::rename(root_, root_.parent_path() / "cache/huggingface/hub");
  EXPECT_TRUE(find_model("some-org/Tiny-1.5").ok());
  fs::remove_all(root_.parent_path());
}

TEST_F(ModelFolderTest, an_id_that_is_not_here_comes_with_the_command_that_fetches_it) {
  Error error = find_model("meta/Big-7B").error();
  EXPECT_EQ(error.code, ErrorCode::kNotFound);
  EXPECT_EQ(error.message,
            fmt::format("meta/Big-7B is neither a folder nor a model in the hub's cache {}",
                        root_.string()));
  EXPECT_THAT(error.hint, HasSubstr("hf download meta/Big-7B --local-dir Big-7B, then use Big-7B"));
  EXPECT_EQ(find_model("/no/such/folder").error().message, "/no/such/folder does not exist");
  EXPECT_EQ(find_model("../other").error().message, "../other does not exist");
}

TEST_F(ModelFolderTest, a_part_of_a_model_is_not_the_model) {
  fs::remove(snapshot_ / "config.json");
  EXPECT_THAT(find_model("some-org/Tiny-1.5").error().message,
              HasSubstr("holds only a part of it"));
  write(repository_ / "refs/main", "../../..");
  EXPECT_FALSE(find_model("some-org/Tiny-1.5").ok());
}

TEST_F(ModelFolderTest, a_model_is_called_as_its_folder_or_repository) {
  EXPECT_EQ(model_name("/models/storyteller"), "storyteller");
  EXPECT_EQ(model_name("/models/storyteller/"), "storyteller");
  EXPECT_EQ(model_name(snapshot_), "Tiny-1.5");
  EXPECT_EQ(model_name("/x/models--gpt2/snapshots/12"), "gpt2");
}

}  // namespace
}  // namespace tokamak::api
