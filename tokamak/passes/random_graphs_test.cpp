// SPDX-License-Identifier: Apache-2.0
// Every pass, alone and one after the other, computes on random graphs what the graph before it
// computed.
#include <map>

#include <gtest/gtest.h>

#include "tokamak/ir/text.h"
#include "tokamak/passes/pass_list_test.h"
#include "tokamak/passes/random_graph_test.h"

namespace tokamak::passes {
namespace {

constexpr double kTolerance = 1e-5;

class Checker {
 public:
  explicit Checker(const RandomGraph& test) : test_(test) {
    EXPECT_TRUE(test.graph->verify().ok()) << test.graph->verify().error().text();
    expected_ = run(*test.graph);
  }

  /// Runs the pass and compares. Returns the rewrites.
  int check(const NamedPass& pass, ir::Graph& graph) {
    std::string before = graph.text();
    SCOPED_TRACE(fmt::format("{}\n{}", pass.name, before));
    auto rewrites = pass.run(graph);
    EXPECT_TRUE(rewrites.ok() && graph.verify().ok());
    if (!rewrites.ok() || !graph.verify().ok()) return 0;
    EXPECT_LT(relative_error(expected_, run(graph)), kTolerance) << graph.text();
    EXPECT_EQ(pass.run(graph).value(), 0) << graph.text();
    return *rewrites;
  }

 private:
  std::vector<Tensor> run(const ir::Graph& graph) {
    auto out = ir::run_reference(graph, test_.inputs, test_.checkpoint, test_.num_tokens);
    EXPECT_TRUE(out.ok()) << out.error().text();
    return out.ok() ? *out : std::vector<Tensor>{};
  }
  const RandomGraph& test_;
  std::vector<Tensor> expected_;
};

void check_graph(const RandomGraph& test, std::map<std::string_view, int>& rewrites) {
  Checker checker(test);
  std::string text = test.graph->text();
  for (const NamedPass& pass : kPasses) checker.check(pass, *ir::parse_graph(text).value());
  auto graph = ir::parse_graph(text).value();
  ASSERT_EQ(graph->text(), text);
  for (const NamedPass& pass : kPasses) rewrites[pass.name] += checker.check(pass, *graph);
}

TEST(RandomGraphs, decoders_compute_the_same_after_each_pass) {
  std::map<std::string_view, int> rewrites;
  for (uint32_t seed = 0; seed < 150 && !testing::Test::HasFailure(); ++seed) {
    SCOPED_TRACE(seed);
    check_graph(RandomDecoder(seed).build(), rewrites);
  }
  for (const NamedPass& pass : kPasses) EXPECT_GT(rewrites[pass.name], 20) << pass.name;
}

TEST(RandomGraphs, wild_graphs_compute_the_same_after_each_pass) {
  std::map<std::string_view, int> rewrites;
  for (uint32_t seed = 0; seed < 800 && !testing::Test::HasFailure(); ++seed) {
    SCOPED_TRACE(seed);
    check_graph(WildGraph(seed).build(), rewrites);
  }
  for (std::string_view name : {"fuse_rope_append", "fuse_rope_attend"})
    rewrites.erase(name);  // There is no attention in them.
  for (const auto& [name, count] : rewrites) EXPECT_GT(count, 20) << name;
}

}  // namespace
}  // namespace tokamak::passes
