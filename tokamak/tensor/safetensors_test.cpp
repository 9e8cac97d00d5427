// SPDX-License-Identifier: Apache-2.0
#include "tokamak/tensor/safetensors.h"

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
              HasSubstr("dtype 'F9'"));
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
