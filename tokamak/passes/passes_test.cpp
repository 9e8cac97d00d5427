// SPDX-License-Identifier: Apache-2.0
// Runs every <pass>.ir beside it: cases of "=== name", the graph before, "----", and the graph
// after or the word "unchanged". --bless (or TOKAMAK_BLESS=1) writes what the passes do.
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>

#include <gtest/gtest.h>

#include "tokamak/ir/text.h"
#include "tokamak/passes/pass_list_test.h"

namespace tokamak::passes {
namespace {

struct Case {
  std::string name, before, after;
};

/// A file of cases, with the comment above the first.
struct TextTest {
  std::string head;
  std::vector<Case> cases;

  static TextTest read(const std::filesystem::path& path) {
    TextTest test;
    std::ifstream file(path);
    std::string line, *into = &test.head;
    while (std::getline(file, line)) {
      if (line.starts_with("=== ")) {
        test.cases.push_back({line.substr(4), {}, {}});
        into = &test.cases.back().before;
      } else if (line == "----") {
        into = &test.cases.back().after;
      } else {
        *into += line + "\n";
      }
    }
    return test;
  }

  std::string text() const {
    std::string out = head;
    for (const Case& c : cases) out += "=== " + c.name + "\n" + c.before + "----\n" + c.after;
    return out;
  }
};

/// What the pass makes of the case, in the form of Case::after.
std::string rewritten(const NamedPass& pass, const Case& test) {
  auto graph = ir::parse_graph(test.before);
  if (!graph.ok()) return graph.error().text() + "\n";
  std::string before = (*graph)->text();
  auto rewrites = pass.run(**graph);
  if (!rewrites.ok()) return rewrites.error().text() + "\n";
  if (auto status = (*graph)->verify(); !status.ok()) return status.error().text() + "\n";
  std::string after = (*graph)->text();
  EXPECT_EQ(*rewrites == 0, before == after) << *rewrites << " rewrites";
  EXPECT_EQ(pass.run(**graph).value(), 0) << "a second run found something to do";
  EXPECT_EQ((*graph)->text(), after);
  auto again = ir::parse_graph(after);
  EXPECT_TRUE(again.ok() && (*again)->text() == after) << "the text does not read back";
  return *rewrites == 0 ? "unchanged\n" : after;
}

// Tests run in the root of the source tree.
const std::filesystem::path kFolder = "tokamak/passes";

class Passes : public testing::TestWithParam<NamedPass> {};

TEST_P(Passes, rewrite_the_text_as_written) {
  const char* bless = std::getenv("TOKAMAK_BLESS");
  auto path = kFolder / (std::string(GetParam().name) + ".ir");
  TextTest test = TextTest::read(path);
  ASSERT_FALSE(test.cases.empty()) << path;
  for (Case& c : test.cases) {
    SCOPED_TRACE(c.name);
    std::string after = rewritten(GetParam(), c);
    if (bless)
      c.after = after + (&c == &test.cases.back() ? "" : "\n");
    else
      EXPECT_EQ(c.after.substr(0, c.after.find_last_not_of('\n') + 1) + "\n", after);
  }
  if (bless) std::ofstream(path) << test.text();
}

TEST(PassFiles, each_text_test_has_a_pass) {
  for (const auto& entry : std::filesystem::directory_iterator(kFolder)) {
    if (entry.path().extension() != ".ir") continue;
    bool found = false;
    for (const NamedPass& pass : kPasses)
      found = found || pass.name == entry.path().stem().string();
    EXPECT_TRUE(found) << entry.path() << " has no row in pass_list_test.h";
  }
}

INSTANTIATE_TEST_SUITE_P(Text, Passes, testing::ValuesIn(kPasses), [](const auto& info) {
  return std::string(info.param.name);
});

}  // namespace
}  // namespace tokamak::passes

int main(int argc, char** argv) {
  testing::InitGoogleTest(&argc, argv);
  for (int i = 1; i < argc; ++i) {
    if (std::string_view(argv[i]) == "--bless") setenv("TOKAMAK_BLESS", "1", 1);
  }
  return RUN_ALL_TESTS();
}
