// SPDX-License-Identifier: Apache-2.0
#include "tokamak/text/files.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tokamak/text/test_data.h"

namespace tokamak::text {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

TEST(Files, an_engine_takes_all_that_is_read_and_nothing_else) {
  test::Folder folder;
  for (const char* name : {"tokenizer.json",
                           "qwen.tiktoken",
                           "special_tokens_map.json",
                           "added_tokens.json",
                           "chat_template.jinja",
                           "additional_chat_templates/tool_use.jinja",
                           "additional_chat_templates/notes.txt",
                           "generation_config.json",
                           "model.safetensors",
                           "README.md"})
    folder.write(name);
  EXPECT_THAT(text_files(folder.path()),
              ElementsAre("added_tokens.json",
                          "additional_chat_templates/tool_use.jinja",
                          "chat_template.jinja",
                          "generation_config.json",
                          "qwen.tiktoken",
                          "special_tokens_map.json",
                          "tokenizer.json"));
  EXPECT_THAT(more_chat_templates(folder.path()), ElementsAre("tool_use"));
  EXPECT_THAT(text_files(folder.path() / "absent"), IsEmpty());
}

TEST(Files, every_form_of_a_vocabulary_is_a_tokenizer) {
  for (const char* name : {"tokenizer.json",
                           "tokenizer.model",
                           "spiece.model",
                           "tiktoken.model",
                           "tekken.json",
                           "vocab.json",
                           "qwen.tiktoken"}) {
    test::Folder folder;
    EXPECT_FALSE(has_tokenizer(folder.path()));
    folder.write(name);
    EXPECT_TRUE(has_tokenizer(folder.path())) << name;
  }
  test::Folder both;
  both.write("b.tiktoken");
  both.write("a.tiktoken");
  EXPECT_EQ(tokenizer_file(both.path()).filename(), "a.tiktoken");
  both.write("tokenizer.model");
  EXPECT_EQ(tokenizer_file(both.path()).filename(), "tokenizer.model");
}

}  // namespace
}  // namespace tokamak::text
