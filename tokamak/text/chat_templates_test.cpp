// SPDX-License-Identifier: Apache-2.0
#include "tokamak/text/chat_templates.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tokamak/text/test_data.h"

namespace tokamak::text {
namespace {

using testing::HasSubstr;

class ChatTemplatesTest : public testing::Test {
 protected:
  ChatTemplates load() { return load_chat_templates(folder_.path()); }
  /// What a chat is rendered to, or the error.
  static std::string render(const std::optional<ChatTemplate>& one) {
    if (!one) return "(none)";
    auto text = one->render(Json::object());
    return text.ok() ? *text : "error: " + text.error().message;
  }
  std::string chat() { return render(load().chat); }
  std::string tools() { return render(load().tool_use); }

  test::Folder folder_;
};

TEST_F(ChatTemplatesTest, files_come_before_configurations_all_of_them_together) {
  EXPECT_EQ(chat(), "(none)");
  folder_.write("chat_template.json", R"({"chat_template": "processor"})");
  EXPECT_EQ(chat(), "processor");
  folder_.write("tokenizer_config.json", R"({"chat_template": "config"})");
  EXPECT_EQ(chat(), "config");
  folder_.write("tokenizer_config.json",
                R"({"chat_template": [{"name": "default", "template": "config"},
                                      {"name": "tool_use", "template": "config tools"}]})");
  EXPECT_EQ(chat(), "config");
  EXPECT_EQ(tools(), "config tools");
  folder_.write("chat_template.jinja", "file");
  EXPECT_EQ(chat(), "file");
  EXPECT_EQ(tools(), "(none)");
  folder_.write("additional_chat_templates/tool_use.jinja", "file tools");
  EXPECT_EQ(chat(), "file");
  EXPECT_EQ(tools(), "file tools");
}

TEST_F(ChatTemplatesTest, templates_have_names_in_a_list_or_in_an_object) {
  folder_.write("tokenizer_config.json",
                R"({"chat_template": {"rag": "r", "default": "d", "tool_use": "t"}})");
  EXPECT_EQ(chat(), "d");
  EXPECT_EQ(tools(), "t");
  folder_.write("tokenizer_config.json",
                R"({"chat_template": [{"name": "default", "template": "first"}, 5, {"name": 5},
                                      {"name": "default", "template": "last"}]})");
  EXPECT_EQ(chat(), "last");
}

TEST_F(ChatTemplatesTest, one_that_cannot_be_used_is_an_error_for_chats_only) {
  auto of_config = [&](std::string_view value) {
    folder_.write("tokenizer_config.json", fmt::format(R"({{"chat_template": {}}})", value));
    EXPECT_EQ(load().faults().size(), 1u);
    EXPECT_EQ(load().chat->render(Json::object()).error().code, ErrorCode::kUnsupported);
    return chat();
  };
  constexpr std::string_view kBegin =
      "error: chat template of tokenizer_config.json cannot be used: ";
  EXPECT_EQ(of_config(R"("{{ messages|pprint }}")"),
            std::string(kBegin) + "chat template, line 1: unknown filter 'pprint'");
  EXPECT_THAT(of_config(R"("{% if %}")"), HasSubstr("line 1"));
  EXPECT_EQ(of_config("[]"), std::string(kBegin) + "none is named 'default' (there are none)");
  EXPECT_EQ(of_config(R"([{"name": "tool_use", "template": "x"}])"),
            std::string(kBegin) + "none is named 'default' (there is 'tool_use')");
  EXPECT_EQ(of_config("5"), std::string(kBegin) + "none is named 'default' (there are none)");
  EXPECT_EQ(tools(), "(none)");
}

TEST_F(ChatTemplatesTest, of_two_the_one_that_can_be_used_is) {
  folder_.write("chat_template.jinja", "fine");
  folder_.write("additional_chat_templates/tool_use.jinja", "{{");
  EXPECT_EQ(chat(), "fine");
  EXPECT_THAT(tools(), HasSubstr("additional_chat_templates/tool_use.jinja cannot be used"));
  EXPECT_EQ(load().faults().size(), 1u);
}

TEST_F(ChatTemplatesTest, files_that_are_no_text_are_errors_for_chats) {
  folder_.write("chat_template.jinja", "\xff");
  EXPECT_THAT(chat(), HasSubstr("not valid UTF-8"));
  folder_.write("chat_template.jinja", std::string(2 << 20, 'x'));
  EXPECT_THAT(chat(), HasSubstr("exceed max_source_bytes"));
  std::filesystem::remove(folder_.path() / "chat_template.jinja");
  folder_.write("chat_template.json", "{");
  EXPECT_THAT(chat(), HasSubstr("chat template of chat_template.json cannot be used"));
  folder_.write("chat_template.json", R"({"chat_template": ""})");
  EXPECT_EQ(chat(), "(none)");
}

}  // namespace
}  // namespace tokamak::text
