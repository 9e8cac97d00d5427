// SPDX-License-Identifier: Apache-2.0
#include "tokamak/op/gather.h"

#include "tokamak/op/op_test.h"

namespace tokamak::op {
namespace {

using testing::ElementsAre;

TEST(Gather, picks_rows) {
  Tensor table = floats({4, 2}, {0, 1, 10, 11, 20, 21, 30, 31});
  EXPECT_THAT(run(Embedding{}, {ints({3, 0, 3}), table})[0].floats(),
              ElementsAre(30, 31, 0, 1, 30, 31));
  EXPECT_THAT(run(Embedding{.offset = 2}, {ints({0, 1}), table})[0].floats(),
              ElementsAre(20, 21, 30, 31));
  EXPECT_THAT(run(SelectRows{}, {table, ints({2, 2})})[0].floats(), ElementsAre(20, 21, 20, 21));
}

TEST(Gather, an_id_out_of_range_is_a_failed_check) {
  Tensor table = floats({2, 1}, {0, 1});
  EXPECT_THROW(run(Embedding{}, {ints({2}), table}), base::CheckFailure);
  EXPECT_THROW(run(Embedding{.offset = -1}, {ints({0}), table}), base::CheckFailure);
}

TEST(Gather, types) {
  check_types({
      {Embedding{}, {"i32[T]", "bf16[32, 8]"}, "bf16[T, 8]"},
      {Embedding{},
       {"i64[T]", "bf16[32, 8]"},
       "embedding: ids is i64[T], must be i32 of one dimension"},
      {Embedding{}, {"i32[T]", "bf16[8]"}, "embedding: table is bf16[8], must have 2 dimensions"},
      {Embedding{}, {"i32[T]", "i8[32, 8]"}, "embedding: table is i8[32, 8], must be a float type"},
      {SelectRows{}, {"f32[T, 8]", "i32[R]"}, "f32[R, 8]"},
      {SelectRows{},
       {"f32[T, 8]", "i32[R, 1]"},
       "select_rows: rows is i32[R, 1], must be i32 of one dimension"},
      {SelectRows{}, {"f32[8]", "i32[R]"}, "select_rows: x is f32[8], must have 2 dimensions"},
  });
}

}  // namespace
}  // namespace tokamak::op
