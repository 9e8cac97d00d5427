// SPDX-License-Identifier: Apache-2.0
#include "tokamak/cli/chat.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace tokamak::cli {
namespace {

using testing::HasSubstr;

class ChatTest : public testing::Test {
 protected:
  Chat chat(std::optional<std::string> system = {}) {
    return Chat(
        std::move(system),
        [this](const Json& messages) -> Result<std::string> {
          asked_ = messages;
          if (error_) return *error_;
          return std::string("yes");
        },
        [this](std::string_view note) { notes_ += note; });
  }
  Json asked_;
  std::optional<Error> error_;
  std::string notes_;
};

Json message(std::string_view role, std::string_view content) {
  return {{"role", role}, {"content", content}};
}

TEST_F(ChatTest, answers_become_part_of_the_conversation) {
  Chat it = chat("Be kind.");
  EXPECT_TRUE(it.take("Hello"));
  EXPECT_TRUE(it.take("And you?"));
  EXPECT_EQ(asked_,
            Json({message("system", "Be kind."),
                  message("user", "Hello"),
                  message("assistant", "yes"),
                  message("user", "And you?")}));
  EXPECT_TRUE(it.take("  "));
  EXPECT_EQ(it.messages().size(), 5u) << "an empty line is no message";
}

TEST_F(ChatTest, reset_keeps_the_system_message_and_nothing_else) {
  Chat it = chat("Be kind.");
  it.take("Hello");
  EXPECT_TRUE(it.take("/reset"));
  EXPECT_EQ(it.messages(), Json::array({message("system", "Be kind.")}));
}

TEST_F(ChatTest, the_system_message_can_be_set_changed_and_left_out) {
  Chat it = chat();
  it.take("Hello");
  EXPECT_TRUE(it.take("/system Speak like a pirate."));
  EXPECT_EQ(it.messages()[0], message("system", "Speak like a pirate."));
  EXPECT_EQ(it.messages().size(), 3u) << "the conversation goes on";
  it.take("/system Be brief.");
  EXPECT_EQ(it.messages()[0], message("system", "Be brief."));
  EXPECT_EQ(it.messages().size(), 3u);
  it.take("/system");
  EXPECT_EQ(it.messages()[0], message("user", "Hello"));
}

TEST_F(ChatTest, commands_that_do_not_exist_are_named_and_not_sent) {
  Chat it = chat();
  EXPECT_TRUE(it.take("/rest"));
  EXPECT_THAT(notes_, HasSubstr("there is no command /rest, did you mean /reset?"));
  it.take("/model gpt2");
  EXPECT_THAT(notes_, HasSubstr("there is no command /model; /help lists them"));
  EXPECT_TRUE(asked_.is_null());
  it.take("/usr/bin/env is a path");
  EXPECT_EQ(asked_[0]["content"], "/usr/bin/env is a path");
  it.take("1/2 or /2?");
  EXPECT_EQ(asked_.back()["content"], "1/2 or /2?");
}

TEST_F(ChatTest, help_lists_every_command_and_exit_ends) {
  Chat it = chat();
  EXPECT_TRUE(it.take("/help"));
  for (const char* name : {"/help", "/reset", "/system TEXT", "/exit", "Ctrl-C", "Ctrl-D"})
    EXPECT_THAT(notes_, HasSubstr(name));
  EXPECT_FALSE(it.take("/exit"));
}

TEST_F(ChatTest, an_error_leaves_the_conversation_and_says_how_to_go_on) {
  Chat it = chat();
  it.take("Hello");
  notes_.clear();
  error_ = base::invalid("prompt of 9 tokens leaves no room");
  EXPECT_TRUE(it.take("More"));
  EXPECT_EQ(it.messages().size(), 2u);
  EXPECT_EQ(notes_, "error: prompt of 9 tokens leaves no room\n/reset begins a new conversation\n");
}

TEST_F(ChatTest, two_interrupts_in_a_row_end_it_and_a_message_between_them_does_not) {
  Chat it = chat();
  EXPECT_TRUE(it.interrupted());
  EXPECT_THAT(notes_, HasSubstr("Ctrl-C again"));
  it.take("Hello");
  EXPECT_TRUE(it.interrupted());
  EXPECT_FALSE(it.interrupted());
}

}  // namespace
}  // namespace tokamak::cli
