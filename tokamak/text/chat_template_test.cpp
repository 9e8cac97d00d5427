// SPDX-License-Identifier: Apache-2.0
#include "tokamak/text/chat_template.h"

#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <sstream>
#include <thread>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace tokamak::text {
namespace {

using ::testing::HasSubstr;

// 2024-07-26 12:00:00 UTC, when the published renderings were made.
constexpr int64_t kNow = 1'721'995'200;

std::filesystem::path templates_folder() {
  const char* named = std::getenv("TOKAMAK_TEST_DATA");
  return std::filesystem::path(named && *named ? named : "../shared") / "assets/chat_templates";
}

std::string read(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  std::stringstream content;
  content << file.rdbuf();
  return content.str();
}

std::string render(std::string_view source,
                   const Json& context = Json::object(),
                   const TemplateLimits& limits = {}) {
  auto parsed = ChatTemplate::parse(source, limits);
  if (!parsed.ok()) return "parse error: " + parsed.error().message;
  auto rendered = parsed->render(context, kNow);
  return rendered.ok() ? *rendered : "error: " + rendered.error().message;
}

/// Renders the published templates with the published contexts.
class Goldens {
 public:
  Result<std::string> render(const Json& row, bool defines_tools) {
    std::string name = row["template"];
    auto found = parsed_.find(name);
    if (found == parsed_.end()) {
      found = parsed_.emplace(name, ChatTemplate::parse(read(templates_folder() / name))).first;
    }
    if (!found->second.ok()) return found->second.error();
    Json context =
        Json::parse(read(templates_folder() / "contexts" / row["context"].get<std::string>()));
    for (const char* optional : {"tools", "documents"}) {
      if (defines_tools && !context.contains(optional)) context[optional] = nullptr;
    }
    return found->second->render(context, kNow);
  }

 private:
  std::map<std::string, Result<ChatTemplate>> parsed_;
};

TEST(ChatTemplateTest, PublishedTemplatesRenderByteForByte) {
  std::ifstream file(templates_folder() / "goldens/goldens.jsonl");
  if (!file) {
    GTEST_SKIP() << "NO TEST DATA in " << templates_folder()
                 << ": set TOKAMAK_TEST_DATA to the folder that has assets/chat_templates";
  }
  Goldens goldens;
  int num_rendered = 0, num_refused = 0;
  for (std::string line; std::getline(file, line);) {
    Json row = Json::parse(line);
    std::string what = fmt::format(
        "{} with {}", row["template"].get<std::string>(), row["context"].get<std::string>());
    auto rendered = goldens.render(row, true);
    if (row.contains("output")) {
      ++num_rendered;
      ASSERT_TRUE(rendered.ok()) << what << "\n" << rendered.error().text();
      EXPECT_EQ(*rendered, row["output"].get<std::string>()) << what;
    } else {
      ++num_refused;
      EXPECT_FALSE(rendered.ok()) << what << " must fail: " << row["error"];
    }
    if (row.contains("output_tools_undefined")) {
      auto without = goldens.render(row, false);
      ASSERT_TRUE(without.ok()) << what << "\n" << without.error().text();
      EXPECT_EQ(*without, row["output_tools_undefined"].get<std::string>()) << what;
    }
  }
  EXPECT_GE(num_rendered, 869);
  EXPECT_GE(num_refused, 75);
}

TEST(ChatTemplateTest, ErrorsNameTheLine) {
  EXPECT_EQ(render("a\n{{ messages.role }}"),
            "error: chat template, line 2: 'messages' is undefined");
  EXPECT_EQ(render("{% set d = {} %}\n\n{{ d.x.y }}"),
            "error: chat template, line 3: 'dict object' has no attribute 'x'");
  EXPECT_EQ(render("\n{{ raise_exception('Roles must alternate') }}"),
            "error: chat template, line 2: Roles must alternate");
  EXPECT_EQ(render("{% macro m() %}\n{{ 1 + '' }}{% endmacro %}\n{{ m() }}"),
            "error: chat template, line 2: unsupported operands of +: int and str");
  EXPECT_EQ(render("{{ 1 }}\n{% if x %}\n"),
            "parse error: chat template, line 2: expected 'endif', found the end of the template");
  EXPECT_EQ(render("\n\n{{ 1 + }}"),
            "parse error: chat template, line 3: expected an expression, found '}}'");
  EXPECT_EQ(render("a\n{% endif %}"), "parse error: chat template, line 2: unexpected tag 'endif'");
  EXPECT_EQ(render("{{ 'a\nb }}"), "parse error: chat template, line 1: the string is not closed");
}

TEST(ChatTemplateTest, WhatIsNotInTheSubsetIsUnsupportedByName) {
  for (const auto& [source, name] : std::map<std::string, std::string>{
           {"{% include 'x' %}", "include"},
           {"{% extends 'x' %}", "extends"},
           {"{% import 'x' as y %}", "import"},
           {"{% block x %}{% endblock %}", "block"},
           {"{% do x %}", "do"},
           {"{% nothing %}", "nothing"},
           {"{{ x | from_yaml }}", "from_yaml"},
           {"{{ x is wonderful }}", "wonderful"},
           {"{% for x in y | shuffle %}{% endfor %}", "shuffle"},
       }) {
    auto parsed = ChatTemplate::parse(source);
    ASSERT_FALSE(parsed.ok()) << source;
    EXPECT_EQ(parsed.error().code, ErrorCode::kUnsupported) << source;
    EXPECT_THAT(parsed.error().message, HasSubstr("'" + name + "'"));
  }
}

TEST(ChatTemplateTest, AnUnknownFilterInABranchFailsOnlyWhenItIsReached) {
  std::string source = "{% if x %}{{ x | from_json }}{% endif %}{{ y | from_json if y else 'n' }}";
  EXPECT_EQ(render(source), "n");
  EXPECT_EQ(render(source, {{"x", "1"}}),
            "error: chat template, line 1: unknown filter 'from_json'");
}

TEST(ChatTemplateTest, TheTimeIsTheCallersInUtc) {
  EXPECT_EQ(render("{{ strftime_now('%Y-%m-%d %H:%M:%S') }}"), "2024-07-26 12:00:00");
  EXPECT_EQ(render("{{ strftime_now('%d %b %Y|%B|%A|%j|%f|%%') }}"),
            "26 Jul 2024|July|Friday|208|000000|%");
  EXPECT_EQ(render("{{ strftime_now('') }}|"), "|");
}

TEST(ChatTemplateTest, ContextsKeepTheirIntegersAndOrder) {
  Json context = Json::parse(
      R"({"a": [18446744073709551615, -9223372036854775808, 1.0, 1e2], "o": {"z": 1, "b": 2}})");
  EXPECT_EQ(render("{{ a }} {{ a | tojson }} {{ o | tojson }} {{ a[0] > a[1] }}", context),
            "[18446744073709551615, -9223372036854775808, 1.0, 100.0] "
            "[18446744073709551615, -9223372036854775808, 1.0, 100.0] {\"z\": 1, \"b\": 2} True");
  EXPECT_THAT(render("{{ a[0] + 1 }}", context), HasSubstr("does not fit 64 bits"));
  EXPECT_THAT(render("{{ a }}", Json::array()), HasSubstr("must be an object"));
}

TEST(ChatTemplateTest, ContextsShadowGlobals) {
  EXPECT_EQ(render("{{ range }}", {{"range", 5}}), "5");
}

TEST(ChatTemplateTest, IntegersThatOverflowAreErrors) {
  for (const char* source : {"{{ 9223372036854775807 + 1 }}",
                             "{{ -9223372036854775807 - 2 }}",
                             "{{ 2 ** 63 }}",
                             "{{ 3037000500 * 3037000500 }}",
                             "{{ (-9223372036854775807 - 1) // -1 }}",
                             "{{ -(-9223372036854775807 - 1) }}",
                             "{{ (-9223372036854775807 - 1) | abs }}",
                             "{{ 1e300 | int }}",
                             "{{ 9223372036854775808 }}",
                             "{{ '9223372036854775808' | int }}"}) {
    EXPECT_THAT(render(source), HasSubstr("64 bits")) << source;
  }
  EXPECT_EQ(render("{{ (-9223372036854775807 - 1) % -1 }} {{ 2 ** 62 }}"), "0 4611686018427387904");
}

TEST(ChatTemplateTest, NothingBehindTheDataCanBeReached) {
  for (const char* expression : {
           "''.__class__.__mro__[1].__subclasses__()",
           "[].__class__.__base__",
           "().__class__.__bases__[0]",
           "cycler.__init__.__globals__.os.popen('id').read()",
           "joiner.__init__.__globals__",
           "namespace.__init__.__globals__",
           "lipsum.__globals__['os']",
           "self.__init__",
           "self._TemplateReference__context",
           "config.items()",
           "request['application']['__globals__']",
           "''['__class__']['__mro__']",
           "''|attr('__class__')|attr('__mro__')",
           "''|attr('\\x5f\\x5fclass\\x5f\\x5f')|attr('mro')",
           "[''] | map(attribute='__class__') | map(attribute='__mro__') | list",
           "[''] | map('attr', '__class__') | map('attr', '__mro__') | list",
           "'{0.__class__.__mro__}'.format('')",
           "'{0[__class__][__mro__]}'.format('')",
           "'{x.__init__.__globals__}'.format_map({'x': cycler})",
           "''.join.__self__.__class__.__mro__",
           "cycler('a').__class__.__mro__",
           "namespace(a=1).__dict__.a",
           "namespace(a=1)._Namespace__attrs.a",
           "raise_exception.__globals__.x",
           "strftime_now.__code__.co_consts",
           "messages.__class__.__init__",
           "messages[0].__getitem__('role')",
           "messages.append(1)",
           "messages[0].update(role='x')",
           "messages[0].setdefault('a', 1)",
           "messages[0].pop('role')",
       }) {
    std::string source = fmt::format("{{{{ {} }}}}", expression);
    std::string shown = render(source, {{"messages", {{{"role", "user"}}}}});
    EXPECT_THAT(shown, ::testing::StartsWith("error: ")) << source;
  }
  for (const char* expression : {"''.__class__",
                                 "{}.__class__",
                                 "range.__self__",
                                 "dict.__base__",
                                 "''.format.__globals__",
                                 "messages.__len__",
                                 "cycler.__init__",
                                 "(messages | select).gi_frame",
                                 "namespace().__class__",
                                 "range(3).__class__",
                                 "loop"}) {
    EXPECT_EQ(render(fmt::format("{{{{ {} }}}}", expression), {{"messages", Json::array()}}), "")
        << expression;
  }
  EXPECT_THAT(render("{% macro m() %}{% endmacro %}{{ m.__globals__.x }}"),
              ::testing::StartsWith("error: "));
  EXPECT_THAT(render("{% for x in [1] %}{{ loop._iterable.x }}{% endfor %}"),
              ::testing::StartsWith("error: "));
}

TEST(ChatTemplateTest, KeysOfTheDataMayBeginWithAnUnderscore) {
  EXPECT_EQ(render("{{ d._x }}{{ d['__y__'] }}", {{"d", {{"_x", 1}, {"__y__", 2}}}}), "12");
}

TEST(ChatTemplateTest, EveryLimitIsNamedByTheErrorAndHoldsQuickly) {
  std::string macros;  // Each calls the next twice.
  for (int i = 0; i < 60; ++i) {
    macros += fmt::format(
        "{{% macro m{}() %}}{{{{ m{}() }}}}{{{{ m{}() }}}}{{% endmacro %}}", i, i + 1, i + 1);
  }
  macros += "{% macro m60() %}x{% endmacro %}";
  const std::string grow = "{% set ns = namespace(x='x') %}{% for i in range(100000) %}";
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"{{ 'a' * 1000000000 }}", "max_output_bytes"},
      {"{{ ('a' * 1000000000000 * 1000000) }}", "max_output_bytes"},
      {"{{ [0] * 1000000000 }}", "max_output_bytes"},
      {"{{ '%1000000000d' % 1 }}", "max_output_bytes"},
      {"{{ '{:1000000000}'.format(1) }}", "max_output_bytes"},
      {"{{ 'a'.center(1000000000) }}", "max_output_bytes"},
      {"{{ 'a' | indent(1000000000, true) }}", "max_output_bytes"},
      {"{{ ('a' * 1000000).replace('a', 'b' * 1000000) }}", "max_output_bytes"},
      {"{{ ('a' * 1000000) | replace('', 'b' * 1000000) }}", "max_output_bytes"},
      {"{{ (['a' * 1000000] * 1000) | join }}", "max_output_bytes"},
      {"{{ [1] | tojson(indent=1000000000) }}", "max_output_bytes"},
      {"{{ [1] | batch(1000000000, 0) | list }}", "max_output_bytes"},
      {"{{ [1] | slice(1000000000) | list }}", "max_output_bytes"},
      {grow + "{{ 'a' * 100000 }}{% endfor %}", "max_output_bytes"},
      {grow + "{% set ns.x = ns.x ~ ns.x %}{% endfor %}", "max_output_bytes"},
      {"{% set ns = namespace(x=[]) %}{% for i in range(1000) %}"
       "{% set ns.x = ns.x + ['a' * 1000000] %}{% endfor %}",
       "max_output_bytes"},
      {"{% for i in range(100000) %}{% for j in range(100000) %}{% endfor %}{% endfor %}",
       "max_steps"},
      {"{% for i in range(100000) %}{{ ('a' * 100000) is lower }}{% endfor %}", "max_steps"},
      {"{% set a = 'a' * 1000000 %}{% for i in range(100000) %}{{ a in a }}{% endfor %}",
       "max_steps"},
      {grow + "{% set ns.x = [ns.x, ns.x] %}{% if i == 50 %}{{ ns.x == ns.x }}{{ ns.x | string }}"
              "{% endif %}{% endfor %}",
       "max_"},
      {macros + "{{ m0() }}", "max_steps"},
      {"{{ range(1000000000) }}", "longer than 100000"},
      {"{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}", "max_depth"},
      {"{% macro m(f) %}{% call m(caller) %}{% endcall %}{% endmacro %}{{ m(1) }}", "max_depth"},
      {"{% for x in [1] recursive %}{{ loop([1]) }}{% endfor %}", "max_depth"},
      {grow + "{% set ns.x = [ns.x] %}{% endfor %}", "max_depth"},
      {grow + "{% set ns.x = [1] | select | select %}{% set ns.x = ns.x | map('list') %}"
              "{% set ns.y = (ns.y or [1]) | select %}{% endfor %}",
       "max_depth"},
      {"{% set ns = namespace() %}{% set ns.self = ns %}{{ ns }}", "max_depth"},
      {"{{ " + std::string(10000, '(') + "1" + std::string(10000, ')') + " }}", "max_depth"},
      {"{{ " + std::string(10000, '-') + "1 }}", "max_depth"},
      {"{{ x" + std::string(10000, '.') + " }}", "expected a name"},
  };
  for (const auto& [source, limit] : cases) {
    auto begin = std::chrono::steady_clock::now();
    std::string shown = render(source);
    std::chrono::duration<double> elapsed = std::chrono::steady_clock::now() - begin;
    EXPECT_THAT(shown.substr(0, 1000), HasSubstr("error: ")) << source.substr(0, 200);
    EXPECT_THAT(shown.substr(0, 1000), HasSubstr(limit)) << source.substr(0, 200);
    EXPECT_LT(elapsed.count(), 20) << source.substr(0, 200);
  }
}

TEST(ChatTemplateTest, NestingOfEveryConstructIsBounded) {
  auto repeat = [](std::string_view text, int times) {
    std::string out;
    for (int i = 0; i < times; ++i) out += text;
    return out;
  };
  for (int times : {200, 20000}) {
    for (const std::string& source :
         {"{{ " + repeat("[", times) + repeat("]", times) + " }}",
          "{{ " + repeat("{1:", times) + "1" + repeat("}", times) + " }}",
          "{{ " + repeat("not ", times) + "1 }}",
          "{{ x" + repeat(".a", times) + " }}",
          "{{ x" + repeat("[0]", times) + " }}",
          "{{ x" + repeat("()", times) + " }}",
          "{{ x" + repeat(" | list", times) + " }}",
          "{{ " + repeat("f(", times) + "1" + repeat(")", times) + " }}",
          "{{ " + repeat("1 if 1 else ", times) + "1 }}",
          repeat("{% if 1 %}", times) + repeat("{% endif %}", times),
          repeat("{% for x in y %}", times) + repeat("{% endfor %}", times),
          "{% for " + repeat("(", times) + "x" + repeat(",)", times) + " in y %}{% endfor %}"}) {
      EXPECT_THAT(render(source), HasSubstr("max_depth")) << source.substr(0, 60);
    }
  }
  // Chains do not nest.
  EXPECT_EQ(render("{{ 0" + repeat(" + 1", 5000) + " }}"), "5000");
  EXPECT_EQ(render("{{ 1" + repeat(" and 1", 5000) + repeat(" or 1", 5000) + " }}"), "1");
  EXPECT_EQ(render("{% if 0 %}" + repeat("{% elif 0 %}", 5000) + "{% else %}e{% endif %}"), "e");
}

TEST(ChatTemplateTest, LimitsAreTheCallers) {
  TemplateLimits limits;
  limits.max_source_bytes = 10;
  EXPECT_THAT(render("12345678901", {}, limits), HasSubstr("max_source_bytes = 10"));
  limits = {};
  limits.max_output_bytes = 10;
  EXPECT_EQ(render("1234567890", Json::object(), limits), "1234567890");
  EXPECT_THAT(render("12345678901", Json::object(), limits), HasSubstr("max_output_bytes = 10"));
  limits = {};
  limits.max_steps = 100;
  EXPECT_THAT(render("{% for i in range(100) %}{% endfor %}", Json::object(), limits),
              HasSubstr("max_steps = 100"));
  limits = {};
  limits.max_depth = 3;
  EXPECT_THAT(render("{{ d }}", {{"d", {{{{{1}}}}}}}, limits), HasSubstr("max_depth = 3"));
}

TEST(ChatTemplateTest, TextThatIsNotUtf8IsRefused) {
  EXPECT_THAT(render("ab\xff"), HasSubstr("not valid UTF-8 at byte 2"));
  EXPECT_THAT(render("{{ x }}", {{"x", "\xc3"}}), HasSubstr("not valid UTF-8"));
  EXPECT_THAT(render("{{ '\\ud83d' }}"), HasSubstr("not a character"));
}

TEST(ChatTemplateTest, MacrosAndLoopsThatOutliveTheirScopeAreHarmless) {
  EXPECT_EQ(render("{% set ns = namespace() %}{% macro outer(v) %}{% macro inner() %}{{ v }}"
                   "{% endmacro %}{% set ns.f = inner %}{% endmacro %}{{ outer(7) }}{{ ns.f() }}"),
            "7");
  EXPECT_EQ(render("{% set ns = namespace() %}{% macro m() %}{% for x in [1, 2, 3] if x %}"
                   "{% set ns.loop = loop %}{% break %}{% endfor %}{% endmacro %}"
                   "{{ m() }}{{ ns.loop.index }}{{ ns.loop.nextitem is defined }}"),
            "1False");
  EXPECT_EQ(render("{% for x in [1, 2] %}{{ loop.changed(loop) }}{% endfor %}"), "TrueFalse");
  EXPECT_EQ(render("{% set ns = namespace() %}{% set ns.me = ns %}{% set ns.l = [ns] %}"
                   "{{ ns.me.me.l[0].me == ns }}"),
            "True");
}

TEST(ChatTemplateTest, ThreadsMayRenderOneTemplate) {
  auto parsed = ChatTemplate::parse(
      "{% for m in messages %}{{ m.role ~ ':' ~ m.content | trim }}{{ 'x' * n }}{% endfor %}");
  ASSERT_TRUE(parsed.ok());
  std::vector<std::thread> threads;
  std::vector<int> failures(4);
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      Json context = {{"messages", {{{"role", "user"}, {"content", " a "}}}}, {"n", t}};
      for (int i = 0; i < 200; ++i) {
        auto rendered = parsed->render(context);
        if (!rendered.ok() || *rendered != "user:a" + std::string(static_cast<size_t>(t), 'x')) {
          ++failures[static_cast<size_t>(t)];
        }
      }
    });
  }
  for (auto& thread : threads) thread.join();
  EXPECT_THAT(failures, ::testing::Each(0));
}

}  // namespace
}  // namespace tokamak::text
