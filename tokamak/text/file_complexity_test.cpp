// SPDX-License-Identifier: Apache-2.0
// Reading a file takes time in proportion to its size, whatever in it grows.
#include <ctime>
#include <functional>

#include <gtest/gtest.h>

#include "tokamak/base/json.h"
#include "tokamak/text/byte_level.h"
#include "tokamak/text/chat_template.h"
#include "tokamak/text/ranked_tokens.h"
#include "tokamak/text/sentencepiece.h"
#include "tokamak/text/test_data.h"
#include "tokamak/text/tokenizer_config.h"
#include "tokamak/text/tokenizer_json.h"

namespace tokamak::text {
namespace {

double cpu_seconds() {
  timespec now{};
  ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) * 1e-9;
}

using Work = std::function<void()>;

double best_seconds(const Work& work, int runs) {
  double best = 1e9;
  for (int run = 0; run < runs; ++run) {
    const double begin = cpu_seconds();
    work();
    best = std::min(best, cpu_seconds() - begin);
  }
  return best;
}

/// `prepare(n)` gives the reading of an input of size n. Twice the size may take 2.5 times as long;
/// four times are looked at, so that a square (16) is told from noise.
void expect_linear(const std::string& name, const std::function<Work(int)>& prepare, int n = 4000) {
  constexpr double kMost = 2.5 * 2.5;
  const Work small = prepare(n), large = prepare(4 * n);
  double ratio = 0;
  // Of a machine that does other things, too: what was fast enough once is.
  for (int attempt = 0; attempt < 5; ++attempt) {
    ratio = best_seconds(large, 2) / std::max(best_seconds(small, 4), 2e-5);
    if (ratio <= kMost) return;
  }
  ADD_FAILURE() << name << ": four times the size takes " << ratio << " times as long";
}

std::string repeat(int n, const std::function<std::string(int)>& part) {
  std::string out;
  for (int i = 0; i < n; ++i) out += part(i);
  return out;
}
/// Separated by commas.
std::string listed(int n, const std::function<std::string(int)>& part) {
  return repeat(n, [&](int i) { return (i ? "," : "") + part(i); });
}

/// Members of a vocabulary: the bytes, then "n0", "n1", ….
std::string vocab_members(int n) {
  std::string bytes = listed(256, [](int byte) {
    const Json token = bytes_to_alphabet(std::string(1, static_cast<char>(byte)));
    return fmt::format("{}:{}", token.dump(), byte);
  });
  return bytes + repeat(n, [](int i) { return fmt::format(R"(,"n{}":{})", i, 256 + i); });
}

std::string model(int vocab, const std::string& merges) {
  return fmt::format(
      R"("model":{{"type":"BPE","vocab":{{{}}},"merges":[{}]}})", vocab_members(vocab), merges);
}

std::string added(int i, const std::string& content) {
  return fmt::format(R"({{"id":{},"content":"{}","special":true}})", 300 + i, content);
}

TEST(FileComplexity, of_tokenizer_json) {
  auto of = [](std::function<std::string(int)> members) {
    return [members = std::move(members)](int n) -> Work {
      return [text = "{" + members(n) + "}"] {
        auto parts = read_tokenizer_json(text, "tokenizer.json");
        ASSERT_TRUE(parts.ok()) << parts.error().text();
      };
    };
  };
  expect_linear("vocabulary", of([](int n) { return model(n, ""); }));
  expect_linear("merges", of([](int n) {
                  const std::string none = listed(n, [](int) { return R"("a b")"; });
                  return R"("model":{"type":"BPE","vocab":{"a":0,"b":1,"ab":2},"merges":[)" + none +
                         "]}";
                }));
  expect_linear("merges with escapes", of([](int n) {
                  const std::string some = listed(n, [](int) { return R"(["a","\u0062"])"; });
                  return R"("model":{"type":"BPE","vocab":{"a":0,"b":1,"ab":2},"merges":[)" + some +
                         "]}";
                }));
  expect_linear("added tokens", of([](int n) {
                  return R"("added_tokens":[)" +
                         listed(n, [](int i) { return added(i, fmt::format("<t{}>", i)); }) + "]," +
                         model(0, "");
                }));
  expect_linear("a long added token",
                of([](int n) {
                  return R"("added_tokens":[)" + added(0, std::string(n, 'x')) + "]," +
                         model(0, "");
                }),
                40'000);
  expect_linear("an unigram vocabulary", of([](int n) {
                  return R"("model":{"type":"Unigram","unk_id":0,"vocab":[)" +
                         listed(n, [](int i) { return fmt::format(R"(["n{}",-{}.5])", i, i); }) +
                         "]}";
                }));
  expect_linear("a word piece vocabulary", of([](int n) {
                  return R"("model":{"type":"WordPiece","unk_token":"n0","vocab":{)" +
                         listed(n, [](int i) { return fmt::format(R"("##n{}":{})", i, i); }) + "}}";
                }));
  expect_linear("sections that nobody reads", of([](int n) {
                  return model(0, "") +
                         repeat(n, [](int i) { return fmt::format(R"(,"s{}":[{{}}])", i); });
                }));
  expect_linear("sections of one name", of([](int n) {
                  return model(0, "") + repeat(n, [](int) { return R"(,"added_tokens":[])"; });
                }));
}

TEST(FileComplexity, of_files_with_many_models_and_components_that_are_refused) {
  auto of = [](std::function<std::string(int)> members) {
    return [members = std::move(members)](int n) -> Work {
      return [text = "{" + members(n) + "}"] {
        ASSERT_FALSE(read_tokenizer_json(text, "tokenizer.json").ok());
      };
    };
  };
  expect_linear("models", of([](int n) {
                  return listed(n, [](int) { return R"("model":{"type":"BPE"})"; });
                }));
  expect_linear("pre-tokenizers", of([](int n) {
                  return R"("pre_tokenizer":{"type":"Sequence","pretokenizers":[)" +
                         listed(n, [](int) { return R"({"type":"Whitespace"})"; }) + "]}," +
                         model(0, "");
                }));
  expect_linear("pieces around a text", of([](int n) {
                  return R"("post_processor":{"type":"TemplateProcessing","single":[)" +
                         listed(n, [](int) { return R"({"SpecialToken":{"id":"s"}})"; }) +
                         R"(],"special_tokens":{"s":{"ids":[1]}}},)" + model(0, "");
                }));
}

TEST(FileComplexity, of_what_stands_beside_the_tokenizer) {
  auto of = [](const char* file, std::function<std::string(int)> content) {
    return [file, content = std::move(content)](int n) -> Work {
      auto folder = std::make_shared<test::Folder>();
      folder->write("tokenizer.json", "{" + model(0, "") + "}");
      folder->write(file, content(n));
      return [folder] {
        auto loaded = Tokenizer::load(folder->path());
        ASSERT_TRUE(loaded.ok()) << loaded.error().text();
      };
    };
  };
  expect_linear("additional special tokens", of("tokenizer_config.json", [](int n) {
                  return R"({"additional_special_tokens":[)" +
                         listed(n, [](int i) { return fmt::format(R"("<t{}>")", i); }) + "]}";
                }));
  expect_linear("the list of added tokens", of("tokenizer_config.json", [](int n) {
                  return R"({"added_tokens_decoder":{)" +
                         listed(n,
                                [](int i) {
                                  return fmt::format(R"("{}":{{"content":"<t{}>"}})", 300 + i, i);
                                }) +
                         "}}";
                }));
  expect_linear("added_tokens.json", of("added_tokens.json", [](int n) {
                  return "{" +
                         listed(n, [](int i) { return fmt::format(R"("<t{}>":{})", i, 300 + i); }) +
                         "}";
                }));
  expect_linear("settings that nobody reads", of("tokenizer_config.json", [](int n) {
                  return "{" + listed(n, [](int i) { return fmt::format(R"("s{}":[{{}}])", i); }) +
                         "}";
                }));
  expect_linear("names that are null", of("special_tokens_map.json", [](int n) {
                  return R"({"extra_special_tokens":{)" +
                         listed(n, [](int i) { return fmt::format(R"("n{}":null)", i); }) + "}}";
                }));
  expect_linear("special tokens of the map", of("special_tokens_map.json", [](int n) {
                  return R"({"extra_special_tokens":[)" +
                         listed(n, [](int i) { return fmt::format(R"("<t{}>")", i); }) + "]}";
                }));
}

TEST(FileComplexity, of_merges_and_ranks) {
  expect_linear("merges.txt", [](int n) -> Work {
    const std::string vocab = "{" + vocab_members(0) + R"(,"ab":256})";
    return [vocab, merges = repeat(n, [](int) { return "a b\n"; })] {
      ASSERT_TRUE(read_vocab_and_merges(vocab, merges, "vocab.json", "merges.txt").ok());
    };
  });
  // What is read is of no known family, which is said at the end.
  expect_linear("tiktoken", [](int n) -> Work {
    return [text = repeat(n, [](int i) {
              return fmt::format("{:08d} {}\n", i, i);  // Eight digits are six bytes.
            })] {
      EXPECT_EQ(read_tiktoken(text, "t.tiktoken").error().code, ErrorCode::kUnsupported);
    };
  });
  expect_linear("tekken", [](int n) -> Work {
    return
        [text =
             R"({"vocab":[)" +
             listed(n,
                    [](int i) {
                      return fmt::format(R"({{"rank":{},"token_bytes":"{:08d}"}})", i, i);
                    }) +
             R"(],"special_tokens":[)" +
             listed(n,
                    [](int i) { return fmt::format(R"({{"rank":{},"token_str":"t{}"}})", i, i); }) +
             "]}"] {
          EXPECT_EQ(read_tekken(text, "tekken.json").error().message,
                    "tekken.json: 'config' is missing");
        };
  });
}

std::string field(int number, const std::string& bytes) {
  std::string out(1, static_cast<char>(number << 3 | 2));
  for (size_t size = bytes.size();; size >>= 7) {
    out += static_cast<char>(size >= 0x80 ? size | 0x80 : size);
    if (size < 0x80) return out + bytes;
  }
}
std::string piece(const std::string& text, int type) {
  return field(1, field(1, text) + "\x18" + static_cast<char>(type));
}

TEST(FileComplexity, of_sentencepiece) {
  constexpr int kNormal = 1, kUnknown = 2, kUserDefined = 4, kUnused = 5, kByte = 6;
  for (int model_type : {1, 2}) {
    for (int type : {kNormal, kUserDefined, kUnused, kByte}) {
      expect_linear(fmt::format("pieces of type {} of model {}", type, model_type),
                    [&](int n) -> Work {
                      std::string bytes = piece("<unk>", kUnknown);
                      for (int i = 0; i < n; ++i) bytes += piece(fmt::format("n{}", i), type);
                      bytes += field(2, std::string("\x18") + static_cast<char>(model_type));
                      return [bytes] {
                        auto parts = read_sentencepiece(bytes, "tokenizer.model");
                        ASSERT_TRUE(parts.ok()) << parts.error().text();
                      };
                    });
    }
  }
}

TEST(FileComplexity, of_chat_templates) {
  auto of = [](std::function<std::string(int)> source) {
    return [source = std::move(source)](int n) -> Work {
      return [text = source(n)] {
        auto parsed = ChatTemplate::parse(text);
        ASSERT_TRUE(parsed.ok()) << parsed.error().text();
      };
    };
  };
  auto each = [](const char* part) {
    return [part](int n) {
      return repeat(n, [&](int i) { return fmt::format(fmt::runtime(part), i); });
    };
  };
  auto between = [](const char* begin, const char* part, const char* end) {
    return [=](int n) {
      return begin + listed(n, [&](int i) { return fmt::format(fmt::runtime(part), i); }) + end;
    };
  };
  expect_linear("text", of([](int n) { return std::string(16 * n, 'x'); }));
  expect_linear("lines", of(each("  \n")));
  expect_linear("braces", of(each("{{ ")), 16'000);
  expect_linear("names", of(each("{{{{ a{} }}}}")));
  expect_linear("variables", of(each("{{% set a{} = 1 %}}")));
  expect_linear("macros", of(each("{{% macro a{}(x) %}}{{{{ x }}}}{{% endmacro %}}")));
  expect_linear("branches", of([](int n) {
                  return "{% if a %}" +
                         repeat(n,
                                [](int i) {
                                  return fmt::format("{{% elif b{0} %}}{{% set c{0} = 1 %}}", i);
                                }) +
                         "{% endif %}";
                }));
  expect_linear("loops", of(each("{{% for a{0} in b %}}{{{{ a{0} }}}}{{% endfor %}}")));
  expect_linear("comments", of(each("{{# {} #}}")));
  expect_linear("raw blocks", of(each("{{% raw %}}{{% {} {{% endraw %}}")));
  expect_linear("a list", of(between("{{ [", "{}", "] }}")));
  expect_linear("a dict", of(between("{{ {", "'a{}': 1", "} }}")));
  expect_linear("arguments", of(between("{{ f(", "a{}=1", ") }}")));
  expect_linear("parameters", of(between("{% macro f(", "a{}", ") %}{% endmacro %}")));
  expect_linear("targets", of(between("{% for ", "a{}", " in b %}{% endfor %}")));
  expect_linear("a sum",
                of([](int n) { return "{{ a" + repeat(n, [](int) { return " ~ 'b'"; }) + " }}"; }),
                400);
  expect_linear("a string", of([](int n) {
                  return "{{ '" + repeat(n, [](int) { return "\\u00e9"; }) + "' }}";
                }));
}

}  // namespace
}  // namespace tokamak::text
