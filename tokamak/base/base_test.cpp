// SPDX-License-Identifier: Apache-2.0
#include <array>
#include <atomic>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <stdexcept>

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tokamak/base/fields_json.h"
#include "tokamak/base/file.h"
#include "tokamak/base/hash.h"
#include "tokamak/base/json.h"
#include "tokamak/base/log.h"
#include "tokamak/base/result.h"
#include "tokamak/base/thread_pool.h"

namespace tokamak::base {
namespace {

enum class Color { kRed, kGreen };
constexpr auto enum_names(Color) {
  return std::array<std::string_view, 2>{"red", "green"};
}

struct Paint {
  float eps = 1e-6f;
  bool wet = false;
  Color color = Color::kRed;
  std::vector<float> mix;
  static constexpr auto kFields = std::tuple{Field{"eps", &Paint::eps},
                                             Field{"wet", &Paint::wet},
                                             Field{"color", &Paint::color},
                                             Field{"mix", &Paint::mix}};
};

TEST(Fields, json_round_trips_and_keeps_only_what_differs_from_the_default) {
  Paint paint{.eps = 1e-5f, .color = Color::kGreen, .mix = {0.5f, 2.0f}};
  Json json = fields_to_json(paint);
  EXPECT_EQ(json.dump(), R"({"eps":1e-05,"color":"green","mix":[0.5,2.0]})");
  auto back = fields_from_json<Paint>(json);
  ASSERT_TRUE(back.ok());
  EXPECT_TRUE(fields_equal(*back, paint));
}

TEST(Fields, unknown_keys_and_wrong_types_are_named) {
  EXPECT_EQ(fields_from_json<Paint>(Json{{"dry", 1}}).error().message, "unknown attribute 'dry'");
  EXPECT_EQ(fields_from_json<Paint>(Json{{"wet", 1}}).error().message,
            "'wet' must be true or false, but is number");
  EXPECT_EQ(fields_from_json<Paint>(Json{{"color", "blue"}}).error().message,
            "color 'blue' is not one of red, green");
}

TEST(Json, errors_name_the_source_and_deep_nesting_is_refused) {
  EXPECT_EQ(parse_json("{", "config.json").error().code, ErrorCode::kCorrupt);
  std::string deep(100000, '[');
  EXPECT_EQ(parse_json(deep, "x").error().message, "x: JSON is nested more than 64 deep");
}

TEST(Json, typed_members_say_what_was_found) {
  Json json = *parse_json(R"({"a": "text", "b": 3, "c": null})", "x");
  EXPECT_EQ(get_int(json, "b").value(), 3);
  EXPECT_EQ(get_int(json, "c", 7).value(), 7);
  EXPECT_EQ(get_int(*parse_json(R"({"a": 1e300})", "x"), "a").error().message,
            "'a' must be an integer, but is number (1e+300)");
  EXPECT_EQ(get_int(json, "a").error().message, "'a' must be an integer, but is string (\"text\")");
  EXPECT_EQ(get_int(json, "d").error().message, "'d' is missing");
}

TEST(File, is_written_whole_or_not_at_all) {
  auto folder = std::filesystem::temp_directory_path() / "tokamak_file_test";
  std::filesystem::remove_all(folder);
  ASSERT_TRUE(make_folders(folder).ok());
  ASSERT_TRUE(write_file_atomic(folder / "a", "hello").ok());
  EXPECT_EQ(read_file(folder / "a").value(), "hello");
  EXPECT_EQ(MappedFile::open(folder / "a").value().bytes().size(), 5u);
  EXPECT_FALSE(write_file_atomic(folder / "missing" / "a", "hello").ok());
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(folder),
                          std::filesystem::directory_iterator{}),
            1);
  EXPECT_EQ(read_file(folder / "b").error().code, ErrorCode::kNotFound);
  std::filesystem::remove_all(folder);
}

TEST(File, a_full_disk_is_an_error_with_the_reason) {
  if (!std::filesystem::exists("/dev/full")) GTEST_SKIP() << "no /dev/full here";
  auto folder = std::filesystem::temp_directory_path() / "tokamak_full_test";
  std::filesystem::remove_all(folder);
  ASSERT_TRUE(make_folders(folder).ok());
  EXPECT_FALSE(write_file_atomic(folder, "x")
                   .ok());  // The target is a folder: rename fails and nothing is left behind.
  std::filesystem::remove_all(folder);
}

TEST(File, what_is_no_regular_file_is_refused_without_waiting) {
  auto folder = std::filesystem::temp_directory_path() / fmt::format("tokamak_fifo_{}", ::getpid());
  ASSERT_TRUE(make_folders(folder).ok());
  const auto fifo = folder / "fifo";
  ASSERT_EQ(::mkfifo(fifo.c_str(), 0600), 0);
  std::filesystem::create_symlink("/dev/zero", folder / "zero");
  for (const auto& [path, kind] : {std::pair(fifo, "a pipe"),
                                   std::pair(folder / "zero", "a device"),
                                   std::pair(folder, "a folder")}) {
    const std::string expected =
        fmt::format("{} is {}, expected a regular file", path.string(), kind);
    EXPECT_EQ(read_file(path).error().message, expected);
    EXPECT_EQ(MappedFile::open(path).error().message, expected);
  }
  std::filesystem::remove_all(folder);
}

TEST(File, temporaries_of_a_killed_write_are_swept_once_they_are_old) {
  namespace fs = std::filesystem;
  auto folder = fs::temp_directory_path() / fmt::format("tokamak_sweep_{}", ::getpid());
  ASSERT_TRUE(make_folders(folder).ok());
  for (const char* name : {"a.tmp.1", "a.tmp.2", "b.tmp.1", "ab.tmp.1"}) {
    std::ofstream(folder / name) << "half";
    fs::last_write_time(folder / name, fs::file_time_type::clock::now() - std::chrono::hours(2));
  }
  std::ofstream(folder / "a.tmp.2") << "being written";
  ASSERT_TRUE(write_file_atomic(folder / "a", "whole").ok());
  EXPECT_FALSE(fs::exists(folder / "a.tmp.1"));
  EXPECT_TRUE(fs::exists(folder / "a.tmp.2")) << "somebody may be writing it";
  EXPECT_TRUE(fs::exists(folder / "b.tmp.1")) << "of another file";
  EXPECT_TRUE(fs::exists(folder / "ab.tmp.1"));
  EXPECT_EQ(read_file(folder / "a").value(), "whole");
  fs::remove_all(folder);
}

TEST(ThreadPool, runs_each_index_once_and_rethrows) {
  ThreadPool pool(4);
  for (int round = 0; round < 200; ++round) {
    std::vector<std::atomic<int>> hits(97);
    pool.parallel_for(97, [&](int64_t i, int) { hits[static_cast<size_t>(i)]++; });
    for (auto& hit : hits) ASSERT_EQ(hit.load(), 1);
  }
  EXPECT_THROW(pool.parallel_for(8,
                                 [](int64_t i, int) {
                                   if (i == 3) throw std::runtime_error("x");
                                 }),
               std::runtime_error);
  std::atomic<int> after{0};
  pool.parallel_for(8, [&](int64_t, int) { after++; });
  EXPECT_EQ(after.load(), 8);
}

TEST(Result, value_of_an_error_throws_with_the_text) {
  Result<int> bad = invalid("size 3 > limit 2", "use fewer");
  EXPECT_THROW(bad.value(), CheckFailure);
  EXPECT_EQ(bad.error().text(), "size 3 > limit 2\nhint: use fewer");
}

TEST(Result, the_exit_status_tells_what_the_user_gave_from_the_rest) {
  for (const Error& error : {invalid("x"), not_found("x"), unsupported("x"), corrupt("x")})
    EXPECT_EQ(exit_status(error.code), 2) << error_code_name(error.code);
  for (ErrorCode code : {ErrorCode::kOutOfMemory,
                         ErrorCode::kOverloaded,
                         ErrorCode::kCancelled,
                         ErrorCode::kDeadline,
                         ErrorCode::kDevice,
                         ErrorCode::kIo,
                         ErrorCode::kInternal})
    EXPECT_EQ(exit_status(code), 1) << error_code_name(code);
}

TEST(Log, a_level_that_does_not_exist_is_named) {
  ::setenv("TOKAMAK_LOG_LEVEL", "verbose", 1);
  EXPECT_EQ(check_log_level().error().message,
            "TOKAMAK_LOG_LEVEL 'verbose' is not one of trace, debug, info, warn, error, off");
  ::setenv("TOKAMAK_LOG_LEVEL", "debug", 1);
  EXPECT_TRUE(check_log_level().ok());
  ::setenv("TOKAMAK_LOG_LEVEL", "", 1);
  EXPECT_TRUE(check_log_level().ok());
  ::unsetenv("TOKAMAK_LOG_LEVEL");
  EXPECT_TRUE(check_log_level().ok());
}

TEST(Hash, is_stable_across_runs) {
  EXPECT_EQ(hash_text("tokamak").hex(), hash_text("tokamak").hex());
}

}  // namespace
}  // namespace tokamak::base
