// SPDX-License-Identifier: Apache-2.0
#include "tokamak/server/chat_rendering.h"

#include <cstdlib>
#include <filesystem>

#include <gtest/gtest.h>

#include "tokamak/base/file.h"
#include "tokamak/server/chat_messages.h"

namespace tokamak::server {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kChatMl =
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}";
/// Trims messages and puts a space of its own behind them.
constexpr std::string_view kTrims =
    "{% for m in messages %}{{ m.role }}: {{ m.content | trim }} </s>{% endfor %}";

text::ChatTemplate parsed(std::string_view source) {
  return text::ChatTemplate::parse(source).value();
}

Json message(std::string_view role, const Json& content) {
  return {{"role", role}, {"content", content}};
}

Json read(const Json& messages) {
  return read_messages({{"messages", messages}}, /*knows_developer=*/true).value().list;
}

std::string open_chat(std::string_view source, const Json& content) {
  const Json messages = read(Json::array({message("user", "q"), message("assistant", content)}));
  auto rendered = render_open_chat(parsed(source), Json::object(), messages);
  return rendered.ok() ? *rendered : "error: " + rendered.error().message;
}

TEST(ChatRendering, LeavesTheLastMessageOpenWhereItsTextEnds) {
  const std::string before = "<|im_start|>user\nq<|im_end|>\n<|im_start|>assistant\n";
  // Texts that also stand in what the template writes behind a message.
  for (std::string text : {"<",
                           "<|im_end|>",
                           "end",
                           "i",
                           "|>",
                           "q",
                           "assistant",
                           "OK! ",
                           " \n",
                           "",
                           "\n",
                           " ",
                           "\tx\n\n",
                           "é",
                           "None"}) {
    EXPECT_EQ(open_chat(kChatMl, text), before + text);
  }
  const Json parts = {{{"type", "text"}, {"text", "a"}}, {{"type", "text"}, {"text", "im"}}};
  EXPECT_EQ(open_chat(kChatMl, parts), before + "a\nim");
}

TEST(ChatRendering, TrimsAnOpenMessageAsTheTemplateDoes) {
  for (std::string text : {"", " ", "\n \n"}) {
    EXPECT_EQ(open_chat(kTrims, text), "user: q </s>assistant: ");
  }
  EXPECT_EQ(open_chat(kTrims, " ok \n"), "user: q </s>assistant: ok");
  EXPECT_EQ(open_chat(kTrims, "</s"), "user: q </s>assistant: </s");
}

TEST(ChatRendering, RefusesAnOpenMessageThatIsNotShown) {
  const std::string refused =
      "error: continue_final_message: the chat template does not show the last message as it is";
  EXPECT_EQ(open_chat("{% for m in messages %}{{ m.content | upper }}{% endfor %}", "a"), refused);
  EXPECT_EQ(open_chat("{{ messages[0].content }}", "a"), refused);
  EXPECT_EQ(open_chat("{% for m in messages %}{{ m.content.split('|')[-1] }}{% endfor %}", "a|b"),
            refused);
  const Json call = {{"role", "assistant"},
                     {"tool_calls", {{{"function", {{"name", "f"}, {"arguments", "{}"}}}}}}};
  auto silent = render_open_chat(parsed(kChatMl), Json::object(), read(Json::array({call})));
  ASSERT_FALSE(silent.ok());
  EXPECT_EQ(silent.error().message, "continue_final_message: the last message has no text");
}

fs::path templates_folder() {
  const char* named = std::getenv("TOKAMAK_TEST_DATA");
  return fs::path(named && *named ? named : "../shared") / "assets/chat_templates";
}

std::vector<std::pair<fs::path, text::ChatTemplate>> published_templates() {
  std::vector<std::pair<fs::path, text::ChatTemplate>> out;
  if (!fs::exists(templates_folder())) return out;
  for (const auto& entry : fs::recursive_directory_iterator(templates_folder())) {
    if (entry.path().extension() != ".jinja") continue;
    auto read = text::ChatTemplate::parse(base::read_file(entry.path(), 1 << 20).value());
    if (read.ok()) out.emplace_back(entry.path(), *read);
  }
  return out;
}

std::string without_space_at_end(std::string text) {
  text.resize(text.find_last_not_of(" \t\n") + 1);
  return text;
}

TEST(ChatRendering, LeavesMessagesOpenInEveryPublishedTemplate) {
  const auto templates = published_templates();
  if (templates.empty()) GTEST_SKIP() << "NO TEST DATA in " << templates_folder();
  Json context = {{"bos_token", "<s>"},
                  {"eos_token", "</s>"},
                  {"pad_token", ""},
                  {"unk_token", ""},
                  {"tools", nullptr},
                  {"documents", nullptr},
                  {"add_generation_prompt", false}};
  int open = 0;
  for (const auto& [path, chat_template] : templates) {
    SCOPED_TRACE(path.string());
    for (std::string text : {"<", "end", "Sure: ", "</s>", "\n", "i"}) {
      const Json messages = read({message("user", "q"), message("assistant", text)});
      auto whole = render_chat(chat_template, context, messages);
      if (!whole.ok()) continue;
      auto cut = render_open_chat(chat_template, context, messages);
      if (!cut.ok()) continue;
      ++open;
      const std::string trimmed = without_space_at_end(text);
      EXPECT_TRUE(cut->ends_with(text) || cut->ends_with(trimmed)) << *cut;
      // Some leave out a message of spaces altogether.
      if (trimmed.empty()) continue;
      EXPECT_TRUE(whole->starts_with(without_space_at_end(*cut))) << *whole << "\n---\n" << *cut;
    }
  }
  EXPECT_GT(open, 500);
}

// ---- Calls.

Json call_with(const Json& arguments) {
  return {{"role", "assistant"},
          {"content", nullptr},
          {"tool_calls",
           {{{"id", "1"},
             {"type", "function"},
             {"function", {{"name", "f"}, {"arguments", arguments}}}}}}};
}

std::string chat_of(std::string_view source, const Json& messages) {
  auto rendered = render_chat(parsed(source), Json::object(), read(messages));
  return rendered.ok() ? *rendered : "error: " + rendered.error().message;
}

constexpr std::string_view kCall = "messages[0].tool_calls[0].function.arguments";

TEST(ChatRendering, ShowsArgumentsInTheFormThatTheTemplateTakes) {
  const std::string as_json = fmt::format("{{{{ {} | tojson }}}}", kCall);
  const std::string as_text = fmt::format("{{{{ '[' + {} + ']' }}}}", kCall);
  const std::string as_items = fmt::format(
      "{{% for name, value in {} | items %}}{{{{ name }}}}={{{{ value }}}};"
      "{{% endfor %}}.",
      kCall);
  for (const Json& nothing : {Json(""), Json("  "), Json(nullptr), Json("null"), Json("{}")}) {
    const Json chat = Json::array({call_with(nothing)});
    EXPECT_EQ(chat_of(as_json, chat), "{}") << nothing;
    EXPECT_EQ(chat_of(as_items, chat), ".") << nothing;
  }
  EXPECT_EQ(chat_of(as_text, Json::array({call_with("")})), "[{}]");
  const Json good = Json::array({call_with(R"({"a": 1,  "b": "c"})")});
  EXPECT_EQ(chat_of(as_json, good), R"({"a": 1, "b": "c"})");
  EXPECT_EQ(chat_of(as_text, good), R"([{"a": 1,  "b": "c"}])") << "as it was sent";
  EXPECT_EQ(chat_of(as_items, good), "a=1;b=c;.");
  // What a model once wrote must not end the conversation.
  const Json broken = Json::array({call_with(R"({"a": )")});
  EXPECT_EQ(chat_of(as_json, broken), R"("{\"a\": ")");
  EXPECT_EQ(chat_of(as_text, broken), R"([{"a": ])");
  EXPECT_EQ(chat_of(as_items, broken), ".");
}

TEST(ChatRendering, ShowsNoMessageTheWordNone) {
  const Json silent = Json::array({call_with("{}"), message("tool", "r")});
  EXPECT_EQ(chat_of("{% for m in messages %}[{{ m.role }}: {{ m.content }}]{% endfor %}", silent),
            "[assistant: ][tool: r]");
  EXPECT_EQ(chat_of("{% for m in messages %}{{ m.content | trim }}.{% endfor %}", silent), ".r.");
  EXPECT_EQ(chat_of("{% for m in messages %}{{ '<' + m.content + '>' }}{% endfor %}", silent),
            "<><r>");
  // A word that somebody said stays.
  EXPECT_EQ(chat_of("{% for m in messages %}{{ m.content }}.{% endfor %}",
                    Json::array({call_with("{}"), message("tool", "None")})),
            ".None.");
  // Nor with something around it, and whatever the arguments are.
  const std::string_view around =
      "{% for m in messages %}{% set c = m.content | string %}{{ '\n' + c if c }}"
      "{% for t in m.tool_calls %}({{ t.function.arguments.a }}){% endfor %}{% endfor %}";
  EXPECT_EQ(chat_of(around, silent), "()\nr");
  EXPECT_EQ(chat_of(around, Json::array({call_with(R"({"a": "None"})")})), "(None)");
  EXPECT_EQ(chat_of("{% for m in messages %}{% if m.content is none %}{{ m.tool_calls[0].function"
                    ".arguments.a }}{% endif %}{% endfor %}",
                    Json::array({call_with(R"({"a": "None"})")})),
            "None");
  // Where null is what tells a call from an answer, it stays null; with arguments as text too.
  EXPECT_EQ(chat_of("{% for m in messages %}{% if m.content is none %}call:"
                    "{{ m.tool_calls[0].function.arguments + '!' }}{% else %}{{ m.content }}"
                    "{% endif %}{% endfor %}",
                    silent),
            "call:{}!r");
  for (const char* role : {"user", "system", "assistant", "tool"}) {
    for (const Json& said : {Json({{"role", role}}), message(role, nullptr)})
      EXPECT_EQ(chat_of("{{ messages[0].content }}.", Json::array({said})), ".") << said;
  }
}

TEST(ChatRendering, ShowsCallsInEveryPublishedTemplateThatKnowsThem) {
  const auto templates = published_templates();
  if (templates.empty()) GTEST_SKIP() << "NO TEST DATA in " << templates_folder();
  Json context = {{"bos_token", "<s>"},
                  {"eos_token", "</s>"},
                  {"tools", nullptr},
                  {"documents", nullptr},
                  {"add_generation_prompt", true}};
  int known = 0;
  for (const auto& [path, chat_template] : templates) {
    SCOPED_TRACE(path.string());
    auto with = [&, &shown = chat_template](const Json& arguments) {
      Json call = call_with(arguments);
      call["tool_calls"][0]["id"] = "abcdefghi";
      Json result = message("tool", "r");
      result["tool_call_id"] = "abcdefghi";
      result["name"] = "f";
      return render_chat(shown, context, read({message("user", "q"), call, std::move(result)}));
    };
    auto good = with(R"({"city": "Rome"})");
    if (!good.ok() || good->find("Rome") == std::string::npos) continue;
    ++known;
    EXPECT_EQ(good->find("None"), std::string::npos) << *good;
    for (const Json& odd : {Json(""), Json(nullptr), Json(R"({"city": )"), Json("[1]")}) {
      auto rendered = with(odd);
      EXPECT_TRUE(rendered.ok()) << odd << (rendered.ok() ? "" : rendered.error().message);
    }
  }
  EXPECT_GT(known, 30);
}

// ---- What is read.

std::string why(const Json& messages) {
  auto read = read_messages({{"messages", messages}}, true);
  return read.ok() ? "" : read.error().text();
}

TEST(ChatMessages, KeepOnlyMembersThatSaySomething) {
  const Json sent = {{"role", "assistant"},
                     {"content", "a"},
                     {"name", nullptr},
                     {"tool_calls", nullptr},
                     {"refusal", nullptr},
                     {"audio", nullptr},
                     {"function_call", nullptr},
                     {"reasoning_content", "r"}};
  EXPECT_EQ(read(Json::array({sent}))[0],
            Json({{"role", "assistant"}, {"content", "a"}, {"reasoning_content", "r"}}));
  const Json empty = {{"role", "assistant"}, {"content", nullptr}, {"tool_calls", Json::array()}};
  EXPECT_EQ(read(Json::array({empty}))[0], message("assistant", ""));
}

TEST(ChatMessages, HaveTheWordsOfARefusal) {
  const Json part = message("assistant", Json::array({{{"type", "refusal"}, {"refusal", "no"}}}));
  EXPECT_EQ(read(Json::array({part}))[0]["content"], "no");
  const Json member = {{"role", "assistant"}, {"content", nullptr}, {"refusal", "no"}};
  EXPECT_EQ(read(Json::array({member}))[0], message("assistant", "no"));
}

TEST(ChatMessages, AreRefusedWithTheirIndex) {
  const Json fine = message("user", "a");
  auto with = [&](const Json& members) {
    Json bad = message("assistant", "a");
    bad.update(members);
    return why(Json::array({fine, bad}));
  };
  EXPECT_EQ(with({{"function_call", {{"name", "f"}}}}),
            "messages[1] has a member 'function_call', which is not read\nhint: send tool_calls");
  EXPECT_EQ(with({{"audio", {{"id", "1"}}}}),
            "messages[1] has a member 'audio', which is not read");
  EXPECT_EQ(with({{"tool_calls", {3}}}), "messages[1] has a tool call without a function");
  EXPECT_EQ(with({{"tool_calls", {{{"function", {{"arguments", 3}}}}}}}),
            "messages[1] has arguments of a tool call that are no text and no object");
  EXPECT_EQ(with({{"refusal", 3}}), "messages[1] has a refusal that is no text");
  EXPECT_EQ(with({{"content", Json::array({{{"type", "image_url"}}})}}),
            "messages[1] has a part of type 'image_url', only text is read");
  EXPECT_EQ(with({{"content", Json::array({{{"type", "refusal"}}})}}),
            "messages[1] has a refusal part without refusal");
}

TEST(ChatMessages, TakeADeveloperForTheSystemWhereTheTemplateDoes) {
  const Json messages = Json::array({message("developer", "d"), message("user", "u")});
  auto read = read_messages({{"messages", messages}}, /*knows_developer=*/false);
  ASSERT_TRUE(read.ok());
  EXPECT_EQ(read->list[0], message("system", "d"));
  EXPECT_EQ(read->renamed, std::vector<size_t>{0});
  EXPECT_TRUE(*shows(parsed(kChatMl), Json::object(), read->list, read->renamed));
  EXPECT_FALSE(
      *shows(parsed("{{ messages[1].content }}"), Json::object(), read->list, read->renamed));
  EXPECT_EQ(read_messages({{"messages", messages}}, true)->list, messages);
}

}  // namespace
}  // namespace tokamak::server
