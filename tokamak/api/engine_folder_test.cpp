// SPDX-License-Identifier: Apache-2.0
// Engine folders and the cache: what has changed is noticed, what is half is not taken for whole.
#include <chrono>
#include <cstdlib>
#include <fstream>
#include <set>
#include <thread>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tokamak/api/build.h"
#include "tokamak/api/verify.h"
#include "tokamak/base/file.h"
#include "tokamak/runtime/engine_session.h"

namespace tokamak::api {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

class EngineFolderTest : public testing::Test {
 protected:
  void SetUp() override {
    const char* data = std::getenv("TOKAMAK_TEST_DATA");
    fs::path model = fs::path(data && *data ? data : "../shared") / "assets/weights/stories260K/hf";
    if (!fs::exists(model)) GTEST_SKIP() << "SKIPPED: no " << model << "; set TOKAMAK_TEST_DATA";
    root_ = fs::temp_directory_path() / fmt::format("tokamak_engine_folder_test_{}", ::getpid());
    fs::remove_all(root_);
    fs::create_directories(root_);
    ::setenv("TOKAMAK_CACHE_DIR", (root_ / "cache").c_str(), 1);
    fs::copy(model, model_);
    for (const auto& entry : fs::directory_iterator(model_))
      fs::permissions(entry.path(), fs::perms::owner_read | fs::perms::owner_write);
  }
  void TearDown() override {
    if (root_.empty()) return;
    fs::remove_all(root_);
    ::unsetenv("TOKAMAK_CACHE_DIR");
  }

  static BuildOptions options() { return {.num_threads = 2, .tune = false}; }
  /// On two threads: this runs beside other tests.
  std::shared_ptr<device::Device> device() {
    if (!device_) device_ = device::open_device(Target::kCpu, 2).value();
    return device_;
  }

  Result<void> save(const fs::path& folder, bool bundle, bool hash_weights = true) {
    TKM_ASSIGN(engine::Engine engine, build_engine(model_, *device(), options()));
    return save_engine(engine, folder, bundle, {}, hash_weights);
  }
  Result<engine::Engine> open(const fs::path& model) {
    return open_engine(model, *device(), options());
  }
  /// Opens the engine and loads its weights.
  Result<void> load(const fs::path& model, bool check_weights = true) {
    TKM_ASSIGN(engine::Engine engine, open(model));
    runtime::SessionOptions limits{.max_step_tokens = 8, .max_sequences = 1};
    limits.check_weights = check_weights;
    TKM_RETURN_IF_ERROR(runtime::open_session(engine, device(), limits));
    return {};
  }

  static void write(const fs::path& path, std::string_view text) {
    fs::create_directories(path.parent_path());
    std::ofstream(path, std::ios::binary | std::ios::trunc) << text;
  }
  static std::string content(const fs::path& path) { return base::read_file(path).value(); }
  static void flip_bit(const fs::path& path, int64_t byte, int bit) {
    std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
    file.seekg(byte);
    auto flipped = static_cast<char>(file.get() ^ (1 << bit));
    file.seekp(byte);
    file.put(flipped);
  }
  static std::set<std::string> files_of(const fs::path& folder) {
    std::set<std::string> out;
    for (const auto& entry : fs::recursive_directory_iterator(folder)) {
      if (entry.is_regular_file()) out.insert(fs::relative(entry.path(), folder).string());
    }
    return out;
  }
  static std::map<std::string, std::string> contents_of(const fs::path& folder) {
    std::map<std::string, std::string> out;
    for (const std::string& name : files_of(folder)) out[name] = content(folder / name);
    return out;
  }
  std::vector<fs::path> cached() const {
    std::vector<fs::path> out;
    for (const auto& entry : fs::directory_iterator(root_ / "cache/engines"))
      out.push_back(entry.path());
    return out;
  }

  fs::path root_;
  fs::path model_ = fs::temp_directory_path() /
                    fmt::format("tokamak_engine_folder_test_{}", ::getpid()) / "model";
  std::shared_ptr<device::Device> device_;
};

TEST_F(EngineFolderTest,
       without_a_target_an_engine_keeps_its_own_and_a_checkpoint_takes_the_machines) {
  const fs::path engine = root_ / "engine";
  ASSERT_TRUE(save(engine, /*bundle=*/false).ok());
  const device::TargetChoice of_engine = choose_target(engine).value();
  EXPECT_EQ(of_engine.target, Target::kCpu);
  EXPECT_EQ(of_engine.why, "the engine was built for it");
  const device::TargetChoice of_checkpoint = choose_target(model_).value();
  EXPECT_TRUE(device::open_device(of_checkpoint.target, 1).ok());
  EXPECT_EQ(of_checkpoint.target == Target::kCuda, device::open_device(Target::kCuda, 1).ok());
  EXPECT_FALSE(of_checkpoint.why.empty());
  EXPECT_EQ(choose_target(root_ / "nothing").error().code, ErrorCode::kNotFound);
}

TEST_F(EngineFolderTest, options_that_ask_for_another_engine_are_refused) {
  const fs::path folder = root_ / "engine";
  ASSERT_TRUE(save(folder, /*bundle=*/false).ok());
  auto refusal = [&](BuildOptions asked) {
    asked.num_threads = 2;
    auto opened = open_engine(folder, *device(), asked);
    return opened.ok() ? std::string("none") : opened.error().message;
  };
  EXPECT_EQ(refusal({}), "none");
  EXPECT_EQ(refusal({.dtype = "float32"}), "none") << "that is what it has";
  EXPECT_THAT(refusal({.dtype = "bfloat16"}),
              HasSubstr("is an engine, built as f32; dtype bfloat16 cannot be had from it"));
  EXPECT_THAT(refusal({.dummy_weights = true}), HasSubstr("dummy weights cannot be had from it"));
  EXPECT_THAT(refusal({.disabled_passes = {"fuse_residual"}}), HasSubstr("passes left out"));
}

TEST_F(EngineFolderTest, a_flipped_bit_in_any_file_is_noticed) {
  write(model_ / "chat_template.jinja", "{{ messages[0].content }}");
  write(model_ / "additional_chat_templates/rag.jinja", "{{ documents }}");
  fs::path folder = root_ / "engine";
  ASSERT_TRUE(save(folder, true).ok());
  ASSERT_TRUE(load(folder).ok()) << load(folder).error().text();
  std::set<std::string> names = files_of(folder);
  for (const char* name : {"config.json",
                           "rank0.engine",
                           "weight_hashes.json",
                           "tokenizer_config.json",
                           "chat_template.jinja",
                           "additional_chat_templates/rag.jinja",
                           "weights/model.safetensors"})
    EXPECT_TRUE(names.contains(name)) << name;
  for (const std::string& name : names) {
    auto size = static_cast<int64_t>(fs::file_size(folder / name));
    for (int64_t byte : {int64_t{0}, int64_t{7}, size / 3, size / 2, size - 1}) {
      const int bit = static_cast<int>((byte + size) % 8);
      flip_bit(folder / name, byte, bit);
      EXPECT_FALSE(load(folder).ok()) << name << ", byte " << byte << ", bit " << bit;
      flip_bit(folder / name, byte, bit);
    }
  }
  EXPECT_TRUE(load(folder).ok());
}

TEST_F(EngineFolderTest, a_file_that_is_missing_or_was_added_is_noticed) {
  fs::path folder = root_ / "engine";
  ASSERT_TRUE(save(folder, true).ok());
  for (const std::string& name : files_of(folder)) {
    fs::rename(folder / name, root_ / "away");
    EXPECT_FALSE(load(folder).ok()) << name;
    fs::rename(root_ / "away", folder / name);
  }
  write(folder / "README.md", "Whoever publishes an engine may describe it.");
  EXPECT_TRUE(load(folder).ok());
  write(folder / "chat_template.jinja", "NEW");
  EXPECT_THAT(load(folder).error().message,
              HasSubstr("chat_template.jinja is not of this engine: it was not there when"));
}

TEST_F(EngineFolderTest, weights_with_other_content_name_tensor_and_file) {
  fs::path folder = root_ / "engine";
  ASSERT_TRUE(save(folder, true).ok());
  fs::path weights = folder / "weights/model.safetensors";
  flip_bit(weights, static_cast<int64_t>(fs::file_size(weights)) - 1, 6);
  auto loaded = load(folder);
  ASSERT_FALSE(loaded.ok());
  EXPECT_EQ(loaded.error().code, ErrorCode::kCorrupt);
  EXPECT_THAT(loaded.error().message,
              testing::MatchesRegex(".*/weights/model.safetensors: tensor 'model.[a-z_.0-9]+' does "
                                    "not have the content that the engine was built from"));
  EXPECT_TRUE(load(folder, /*check_weights=*/false).ok())
      << "whoever asks not to look sees nothing";

  base::ThreadPool pool(2);
  auto report = verify_weights(engine::read_engine(folder).value(), pool).value();
  ASSERT_EQ(report.problems.size(), 1u);
  EXPECT_EQ(report.problems[0], loaded.error().message);
  EXPECT_EQ(report.tensors, std::ssize(engine::read_engine(folder)->weight_hashes));
  EXPECT_GT(report.bytes, 1'000'000);
}

TEST_F(EngineFolderTest, weights_by_reference_may_be_copied_but_not_changed) {
  fs::path folder = root_ / "engine", weights = model_ / "model.safetensors";
  ASSERT_TRUE(save(folder, false).ok());
  // As whoever fetches the checkpoint again: another file with the same bytes.
  fs::copy_file(weights, root_ / "copy");
  fs::rename(root_ / "copy", weights);
  EXPECT_TRUE(load(folder).ok()) << load(folder).error().text();
  flip_bit(weights, 500'000, 3);
  EXPECT_THAT(load(folder).error().message, HasSubstr("does not have the content"));

  // Without hashes names, sizes and headers are compared only.
  ASSERT_TRUE(save(root_ / "unhashed", false, /*hash_weights=*/false).ok());
  flip_bit(weights, 500'000, 3);
  EXPECT_TRUE(load(root_ / "unhashed").ok());
  base::ThreadPool pool(1);
  auto report = verify_weights(engine::read_engine(root_ / "unhashed").value(), pool);
  EXPECT_EQ(report.error().code, ErrorCode::kUnsupported);
}

TEST_F(EngineFolderTest, a_checkpoint_whose_text_changes_gets_another_engine) {
  ASSERT_TRUE(open(model_).ok());
  for (const char* name : {"tokenizer_config.json",
                           "chat_template.jinja",
                           "chat_template.json",
                           "additional_chat_templates/tool_use.jinja",
                           "special_tokens_map.json",
                           "added_tokens.json",
                           "generation_config.json",
                           "vocab.json",
                           "merges.txt"}) {
    const bool was_there = fs::exists(model_ / name);
    for (const char* text : {"{}", "{ }"}) {
      write(model_ / name, text);
      auto engine = open(model_);
      ASSERT_TRUE(engine.ok()) << name << ": " << engine.error().text();
      EXPECT_EQ(content(tokenizer_folder(*engine) / name), text) << name;
    }
    if (was_there) continue;
    fs::remove(model_ / name);
    EXPECT_FALSE(fs::exists(tokenizer_folder(open(model_).value()) / name)) << name;
  }
}

TEST_F(EngineFolderTest, a_checkpoint_as_before_takes_the_cached_engine_and_another_does_not) {
  engine::Engine first = open(model_).value();
  EXPECT_EQ(open(model_)->manifest.build_seconds, first.manifest.build_seconds);
  // Written in place: size and header are as before.
  std::this_thread::sleep_for(std::chrono::milliseconds(20));
  flip_bit(model_ / "model.safetensors", 500'000, 3);
  engine::Engine second = open(model_).value();
  EXPECT_NE(second.manifest.build_seconds, first.manifest.build_seconds);
  EXPECT_EQ(cached().size(), 1u) << "it took the other's place";
  EXPECT_EQ(open(model_)->manifest.build_seconds, second.manifest.build_seconds);
  std::string config = content(model_ / "config.json");
  write(model_ / "config.json", config + "\n");
  EXPECT_NE(open(model_)->manifest.build_seconds, second.manifest.build_seconds);
}

TEST_F(EngineFolderTest, foreign_content_under_a_key_of_the_cache_is_built_anew) {
  engine::Engine mine = open(model_).value();
  fs::copy(model_, root_ / "other", fs::copy_options::recursive);
  write(root_ / "other/chat_template.jinja", "OTHER");
  engine::Engine other = open(root_ / "other").value();
  fs::remove_all(mine.folder);
  fs::copy(other.folder, mine.folder, fs::copy_options::recursive);
  engine::Engine again = open(model_).value();
  EXPECT_EQ(again.folder, mine.folder);
  EXPECT_EQ(again.manifest.checkpoint, model_);
  EXPECT_FALSE(fs::exists(again.folder / "chat_template.jinja"));
  // A bundle, a folder without a manifest, a file.
  ASSERT_TRUE(save(root_ / "bundle", true).ok());
  for (int kind = 0; kind < 3; ++kind) {
    fs::remove_all(mine.folder);
    if (kind < 2)
      fs::copy(root_ / "bundle", mine.folder, fs::copy_options::recursive);
    else
      write(mine.folder, "text");
    if (kind == 1) fs::remove(mine.folder / "config.json");
    again = open(model_).value();
    EXPECT_FALSE(again.manifest.bundled);
    EXPECT_FALSE(fs::exists(again.folder / "weights"));
    EXPECT_EQ(open(model_)->manifest.build_seconds, again.manifest.build_seconds) << kind;
  }
  EXPECT_EQ(cached().size(), 2u);
}

TEST_F(EngineFolderTest, those_who_build_the_same_at_once_all_get_a_whole_engine) {
  std::vector<std::thread> threads;
  std::vector<Result<void>> results(6);
  for (auto& result : results) {
    threads.emplace_back([&result, this] {
      auto own = device::open_device(Target::kCpu, 2).value();
      auto open_and_read = [&]() -> Result<void> {
        TKM_ASSIGN(engine::Engine engine, open_engine(model_, *own, options()));
        TKM_RETURN_IF_ERROR(engine::read_engine(engine.folder));
        return {};
      };
      for (int i = 0; i < 3 && result.ok(); ++i) result = open_and_read();
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (const auto& result : results) EXPECT_TRUE(result.ok()) << result.error().text();
  EXPECT_EQ(cached().size(), 1u);
}

TEST_F(EngineFolderTest, what_was_killed_in_the_cache_is_swept_when_it_is_old) {
  fs::path old = root_ / "cache/engines/unfinished-0123",
           young = old.parent_path() / "unfinished-4";
  write(old / "rank0.engine", "half");
  write(young / "rank0.engine", "half");
  fs::last_write_time(old, fs::file_time_type::clock::now() - std::chrono::hours(2));
  ASSERT_TRUE(open(model_).ok());
  EXPECT_FALSE(fs::exists(old));
  EXPECT_TRUE(fs::exists(young)) << "somebody may be writing it";
}

TEST_F(EngineFolderTest, an_engine_takes_the_place_of_another_with_nothing_left_of_it) {
  fs::path folder = root_ / "engine";
  write(model_ / "chat_template.jinja", "OLD");
  ASSERT_TRUE(save(folder, true).ok());
  write(folder / "weights/model.safetensors.index.json", "{}");
  fs::remove(model_ / "chat_template.jinja");
  ASSERT_TRUE(save(folder, true).ok());
  EXPECT_TRUE(load(folder).ok()) << load(folder).error().text();
  EXPECT_FALSE(fs::exists(folder / "chat_template.jinja"));
  ASSERT_TRUE(save(folder, false).ok());
  EXPECT_TRUE(load(folder).ok()) << load(folder).error().text();
  EXPECT_FALSE(fs::exists(folder / "weights"));
}

TEST_F(EngineFolderTest, a_folder_that_holds_a_checkpoint_is_left_alone) {
  auto before = contents_of(model_);
  auto saved = save(model_, false);
  ASSERT_FALSE(saved.ok());
  EXPECT_EQ(saved.error().code, ErrorCode::kInvalid);
  EXPECT_THAT(saved.error().text(),
              HasSubstr("config.json would be overwritten: it is no engine's\nhint: give the "
                        "engine a folder of its own"));
  EXPECT_EQ(contents_of(model_), before);
}

/// Runs `work` in a process of its own and kills it after so long; whether it was done before.
bool killed_after(std::chrono::microseconds time, const std::function<bool()>& work) {
  pid_t child = ::fork();
  if (child == 0) ::_exit(work() ? 0 : 1);
  std::this_thread::sleep_for(time);
  ::kill(child, SIGKILL);
  int status = 0;
  ::waitpid(child, &status, 0);
  EXPECT_TRUE(WIFSIGNALED(status) || WEXITSTATUS(status) == 0) << "it failed before it was killed";
  return WIFEXITED(status);
}

TEST_F(EngineFolderTest, whoever_is_killed_while_writing_leaves_nothing_that_is_taken_for_whole) {
  // Two engines of the same sizes and headers, so that only contents tell them apart.
  engine::Engine mine = build_engine(model_, *device(), options()).value(), other = mine;
  fs::copy(model_, root_ / "other");
  flip_bit(root_ / "other/model.safetensors", 500'000, 3);
  write(root_ / "other/chat_template.jinja", "OTHER");
  other.manifest.checkpoint = root_ / "other";
  fs::path folder = root_ / "engine";
  auto write_it = [&](engine::Engine engine) { return save_engine(engine, folder, true).ok(); };
  ASSERT_TRUE(write_it(mine));
  const auto whole_mine = contents_of(folder);
  auto begin = std::chrono::steady_clock::now();
  ASSERT_TRUE(write_it(other));
  const auto time = std::chrono::duration_cast<std::chrono::microseconds>(
      std::chrono::steady_clock::now() - begin);
  const auto whole_other = contents_of(folder);
  device_.reset();  // Its threads would not be in the child; the parent's engine is all it needs.
  constexpr int kRounds = 40;
  int unfinished = 0;
  for (int round = 0; round < kRounds; ++round) {
    const auto& next = round % 2 ? other : mine;
    bool done = killed_after(time * (round + 1) / kRounds, [&] { return write_it(next); });
    auto found = engine::read_engine(folder);
    unfinished += !found.ok();
    EXPECT_TRUE(found.ok() || !done);
    if (!found.ok()) continue;
    auto now = contents_of(folder);
    // Beside them may lie what was being written.
    std::erase_if(now, [&](const auto& file) {
      return !whole_mine.contains(file.first) && !whole_other.contains(file.first);
    });
    EXPECT_TRUE(now == whole_mine || now == whole_other) << "round " << round;
  }
  EXPECT_GT(unfinished, 0) << "none was killed between";
  EXPECT_TRUE(write_it(mine));
  EXPECT_TRUE(load(folder).ok()) << load(folder).error().text();
}

}  // namespace
}  // namespace tokamak::api
