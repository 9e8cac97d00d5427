// SPDX-License-Identifier: Apache-2.0
#include "tokamak/tensor/safetensors.h"

#include <chrono>
#include <cmath>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace tokamak::tensor {
namespace {

using testing::HasSubstr;

std::string file_with(std::string header, size_t data_bytes) {
  uint64_t length = header.size();
  return std::string(reinterpret_cast<const char*>(&length), 8) + header +
         std::string(data_bytes, 'x');
}

std::string error_of(const std::string& file) {
  auto header = parse_safetensors_header(std::as_bytes(std::span(file.data(), file.size())), "f");
  return header.ok() ? "no error" : header.error().message;
}

TEST(Safetensors, what_is_written_is_read_back) {
  auto folder = std::filesystem::temp_directory_path() / "tokamak_safetensors_test";
  ASSERT_TRUE(base::make_folders(folder).ok());
  Tensor a = Tensor::from_floats({2, 3}, std::vector<float>{1, 2, 3, 4, 5, 6});
  Tensor b = Tensor::from_ints(std::vector<int32_t>{7, 8});
  std::vector<NamedTensor> tensors = {{"a", a.view()}, {"b", b.view()}};
  ASSERT_TRUE(write_safetensors(folder / "model.safetensors", tensors, {{"format", "pt"}}).ok());
  auto files = TensorFiles::open(folder);
  ASSERT_TRUE(files.ok()) << files.error().text();
  EXPECT_EQ(files->find("a")->as<float>()[5], 6.0f);
  EXPECT_EQ(files->find("b")->as<int32_t>()[1], 8);
  EXPECT_THAT(files->find("aa").error().text(), HasSubstr("tensor 'aa' is not in"));
  EXPECT_EQ(files->total_bytes(), 32);
  std::filesystem::remove_all(folder);
}

TEST(Safetensors, inconsistent_files_name_the_tensor) {
  EXPECT_EQ(error_of("abc"), "f: 3 bytes are too few for a safetensors file");
  EXPECT_THAT(error_of(std::string("\xff\xff\xff\xff\xff\xff\xff\xff", 8)),
              HasSubstr("the limit is 100000000"));
  EXPECT_THAT(error_of(file_with(R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}})", 4)),
              HasSubstr("tensor 'a' ends at byte 8"));
  EXPECT_THAT(error_of(file_with(R"({"a":{"dtype":"F32","shape":[3],"data_offsets":[0,8]}})", 8)),
              HasSubstr("needs 12 bytes"));
  EXPECT_THAT(
      error_of(file_with(
          R"({"a":{"dtype":"F32","shape":[4294967296,4294967296,4294967296],"data_offsets":[0,0]}})",
          0)),
      HasSubstr("overflows"));
  EXPECT_THAT(
      error_of(file_with(
          R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"b":{"dtype":"F32","shape":[1],"data_offsets":[2,6]}})",
          6)),
      HasSubstr("'a' and 'b' overlap"));
  EXPECT_THAT(error_of(file_with(R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}})", 8)),
              HasSubstr("belong to no tensor"));
  EXPECT_THAT(error_of(file_with(R"({"a":{"dtype":"F32","shape":[-1],"data_offsets":[0,4]}})", 4)),
              HasSubstr("not an unsigned integer"));
  EXPECT_THAT(error_of(file_with(R"({"a":{"dtype":"F9","shape":[1],"data_offsets":[0,4]}})", 4)),
              HasSubstr("no error"));
}

TEST(Safetensors, a_name_that_stands_twice_is_an_error) {
  constexpr const char* kEntry = R"("a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]})";
  EXPECT_EQ(error_of(file_with(fmt::format("{{{0},{0}}}", kEntry), 4)), "f: 'a' appears twice");
  EXPECT_EQ(error_of(file_with(
                R"({"a":{"dtype":"F32","shape":[1],"shape":[1],"data_offsets":[0,4]}})", 4)),
            "f: 'shape' appears twice in 'a'");
  EXPECT_EQ(error_of(file_with(R"({"__metadata__":{},"__metadata__":{}})", 0)),
            "f: '__metadata__' appears twice");
}

TEST(Safetensors, headers_that_are_not_of_the_format_say_what_is_wrong) {
  auto error = [](std::string header) { return error_of(file_with(std::move(header), 4)); };
  EXPECT_EQ(error("[]"), "f: the header is not a JSON object");
  EXPECT_EQ(error("1"), "f: the header is not a JSON object");
  EXPECT_EQ(error("{\"a\":1}"), "f: tensor 'a' is not described by an object");
  EXPECT_EQ(error("{\"a\":[]}"), "f: tensor 'a' is not described by an object");
  EXPECT_EQ(error(R"({"__metadata__":{"x":1}})"), "f: __metadata__ 'x' is not a string");
  EXPECT_EQ(error(R"({"__metadata__":[]})"), "f: __metadata__ is not an object");
  EXPECT_EQ(error(R"({"a":{"dtype":"F32","shape":[1]}})"),
            "f: tensor 'a' lacks dtype, shape or data_offsets");
  EXPECT_EQ(error(R"({"a":{"dtype":"F32","shape":1,"data_offsets":[0,4]}})"),
            "f: tensor 'a' lacks dtype, shape or data_offsets");
  EXPECT_EQ(error(R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4,8]}})"),
            "f: tensor 'a' has data_offsets that are not a range");
  EXPECT_EQ(error(R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[4,0]}})"),
            "f: tensor 'a' has data_offsets that are not a range");
  EXPECT_THAT(error(R"({"a":{"dtype":"F32","shape":[[1]],"data_offsets":[0,4]}})"),
              HasSubstr("not an unsigned integer"));
  EXPECT_THAT(error(R"({"a":{"dtype":"F32","shape":[1,1,1,1,1,1,1,1,1],"data_offsets":[0,4]}})"),
              HasSubstr("more than 8 dimensions"));
  EXPECT_EQ(error(R"({"a":{"x":{"y":[1]},"dtype":"F32","shape":[1],"data_offsets":[0,4]}})"),
            "no error");
  EXPECT_THAT(error("{\"a\":"), HasSubstr("f: not valid JSON at byte"));
}

TEST(Safetensors, a_dtype_matters_only_for_a_tensor_that_is_asked_for) {
  auto folder = std::filesystem::temp_directory_path() / "tokamak_safetensors_dtype_test";
  ASSERT_TRUE(base::make_folders(folder).ok());
  ASSERT_TRUE(
      base::write_file_atomic(
          folder / "model.safetensors",
          file_with(
              R"({"w":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"mask":{"dtype":"BOOL","shape":[3],"data_offsets":[4,7]},"f4":{"dtype":"F4","shape":[2],"data_offsets":[7,8]},"later":{"dtype":"F3","shape":[5],"data_offsets":[8,9]}})",
              9))
          .ok());
  auto files = TensorFiles::open(folder);
  ASSERT_TRUE(files.ok()) << files.error().text();
  EXPECT_TRUE(files->find("w").ok());
  EXPECT_EQ(files->total_bytes(), 9);
  EXPECT_THAT(files->find("mask").error().message,
              HasSubstr("tensor 'mask' has the dtype 'BOOL' (read are BF16"));
  std::filesystem::remove_all(folder);
  EXPECT_THAT(error_of(file_with(R"({"a":{"dtype":"BOOL","shape":[3],"data_offsets":[0,4]}})", 4)),
              HasSubstr("of BOOL[3] needs 3 bytes"));
}

TEST(Safetensors, an_index_that_names_a_tensor_twice_is_an_error) {
  auto folder = std::filesystem::temp_directory_path() / "tokamak_safetensors_index_test";
  ASSERT_TRUE(base::make_folders(folder).ok());
  auto error = [&](std::string_view index) {
    EXPECT_TRUE(base::write_file_atomic(folder / "model.safetensors.index.json", index).ok());
    auto files = TensorFiles::open(folder);
    return files.ok() ? "no error" : files.error().message;
  };
  EXPECT_THAT(error(R"({"weight_map":{"a":"x","a":"y"}})"), HasSubstr("'a' appears twice"));
  EXPECT_THAT(error(R"({"weight_map":{"a":1}})"),
              HasSubstr("the file of tensor 'a' is not a string"));
  EXPECT_THAT(error(R"({"metadata":{}})"), HasSubstr("'weight_map' is missing"));
  EXPECT_THAT(error(R"({"weight_map":{"a":"../x"}})"), HasSubstr("not a plain file name"));
  std::filesystem::remove_all(folder);
}

TEST(Safetensors, one_file_goes_before_an_index_beside_it) {
  auto folder = std::filesystem::temp_directory_path() / "tokamak_safetensors_both_test";
  ASSERT_TRUE(base::make_folders(folder).ok());
  const std::string header = R"({"w":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}})";
  ASSERT_TRUE(base::write_file_atomic(folder / "model.safetensors", file_with(header, 4)).ok());
  ASSERT_TRUE(base::write_file_atomic(folder / "model.safetensors.index.json",
                                      R"({"weight_map":{"w":"other.safetensors"}})")
                  .ok());
  auto files = TensorFiles::open(folder);
  ASSERT_TRUE(files.ok()) << files.error().text();
  EXPECT_THAT(files->file_of("w"), HasSubstr("model.safetensors"));
  std::filesystem::remove_all(folder);
}

TEST(Safetensors, a_header_is_read_in_linear_time) {
  auto seconds = [](int count) {
    std::string header = "{";
    for (int i = 0; i < count; ++i)
      header += fmt::format(R"({}"t{}":{{"dtype":"U8","shape":[1],"data_offsets":[{},{}]}})",
                            i ? "," : "",
                            i,
                            i,
                            i + 1);
    const std::string file = file_with(header + "}", static_cast<size_t>(count));
    double best = 1e9;
    for (int run = 0; run < 3; ++run) {
      auto begin = std::chrono::steady_clock::now();
      EXPECT_EQ(error_of(file), "no error");
      best = std::min(
          best, std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count());
    }
    return best;
  };
  // Sixteen times the tensors: sixteen times the time, and some for sorting and memory; not 256
  // times.
  EXPECT_LT(seconds(64'000), 128 * seconds(4'000));
}

TEST(TensorType, text_round_trips) {
  for (std::string text : {"bf16[T, 4096]", "f32[R, 3]", "i32[T]", "f32[]", "f16[2, 3, 4]"}) {
    auto type = TensorType::parse(text);
    ASSERT_TRUE(type.ok()) << type.error().message;
    EXPECT_EQ(type->text(), text);
  }
  EXPECT_FALSE(TensorType::parse("bf16[-1]").ok());
  EXPECT_FALSE(TensorType::parse("bf17[1]").ok());
}

TEST(DType, float_to_f16_rounds_to_nearest_even_and_back_exactly) {
  for (uint32_t bits = 0; bits < 65536; ++bits) {
    float value = f16_to_float(static_cast<uint16_t>(bits));
    if (std::isnan(value)) continue;
    ASSERT_EQ(float_to_f16(value), bits) << value;
  }
  EXPECT_EQ(float_to_f16(65519.0f), 0x7bff);
  EXPECT_EQ(float_to_f16(65520.0f), 0x7c00);
  EXPECT_EQ(float_to_f16(1.0f + 1.0f / 2048), 0x3c00);
  EXPECT_EQ(float_to_f16(1.0f + 3.0f / 2048), 0x3c02);
  EXPECT_EQ(float_to_bf16(1.0f + 1.0f / 256), 0x3f80);
}

}  // namespace
}  // namespace tokamak::tensor
