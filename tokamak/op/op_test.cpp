// SPDX-License-Identifier: Apache-2.0
#include "tokamak/op/op_test.h"

#include <set>

#include "tokamak/op/attention.h"
#include "tokamak/op/elementwise.h"
#include "tokamak/op/matmul.h"
#include "tokamak/op/norm.h"

namespace tokamak::op {
namespace {

TEST(AllOps, have_names_of_their_own_and_parse_without_attributes) {
  std::set<std::string_view> names;
  for (const OpInfo* info : all_ops()) {
    EXPECT_TRUE(names.insert(info->name).second) << info->name;
    auto op = Op::parse(info->name, Json::object());
    ASSERT_TRUE(op.ok()) << op.error().text();
    EXPECT_EQ(op->name(), info->name);
    EXPECT_EQ(op->attributes(), Json::object());
    EXPECT_EQ(op->has_state(), info->has_state);
  }
}

TEST(AllOps, refuse_no_inputs_with_their_name) {
  for (const OpInfo* info : all_ops()) {
    Op op = Op::parse(info->name, Json::object()).value();
    EXPECT_EQ(types_of(op, {}).rfind(std::string(info->name) + ": ", 0), 0u) << types_of(op, {});
  }
}

TEST(Op, attributes_read_back_to_an_equal_op) {
  RopeAppend append;
  append.rotary_dim = 4;
  append.scaling = RopeScaling::kLongRope;
  append.factors = {1.1f, 3.3333333f};
  append.num_heads = 2;
  append.eps = 1e-5f;
  for (const Op& op : {Op(append),
                       Op(RmsNorm{.eps = 1e-5f, .unit_offset = true, .group = 64}),
                       Op(MatMul{.transposed = true, .activation = ActivationKind::kGelu}),
                       Op(Scale{.factor = 0.1f}),
                       Op(Slice{.begin = 1, .size = int64_t{1} << 40})}) {
    auto again = Op::parse(op.name(), op.attributes());
    ASSERT_TRUE(again.ok()) << again.error().text();
    EXPECT_EQ(*again, op) << op.attributes().dump();
  }
  EXPECT_EQ(Op(Scale{.factor = 0.1f}).attributes().dump(), R"({"factor":0.1})");
}

TEST(Op, ops_differ_by_kind_and_by_attributes) {
  EXPECT_EQ(Op(Scale{.factor = 2}), Op(Scale{.factor = 2}));
  EXPECT_FALSE(Op(Scale{.factor = 2}) == Op(Scale{.factor = 3}));
  EXPECT_FALSE(Op(Add{}) == Op(Mul{}));
  EXPECT_EQ(Op(Add{}).as<Mul>(), nullptr);
  EXPECT_EQ(Op(Scale{.factor = 2}).as<Scale>()->factor, 2.0f);
}

TEST(Op, parse_errors_name_the_op_and_the_attribute) {
  auto error = [](std::string_view name, const Json& attributes) {
    return Op::parse(name, attributes).error().message;
  };
  EXPECT_EQ(error("relu", Json::object()), "'relu' is not an op");
  EXPECT_EQ(error("scale", {{"size", 2}}), "scale: unknown attribute 'size'");
  EXPECT_EQ(error("scale", {{"factor", true}}), "scale: 'factor' must be a number, but is boolean");
  EXPECT_EQ(error("slice", {{"begin", 1.5}}), "slice: 'begin' must be an integer, but is number");
  EXPECT_EQ(error("rope", {{"scaling", "ntk"}}),
            "rope: scaling 'ntk' is not one of none, linear, llama3, yarn, longrope");
  EXPECT_EQ(error("rope", {{"factors", 1}}), "rope: 'factors' must be a list, but is number");
}

}  // namespace
}  // namespace tokamak::op
