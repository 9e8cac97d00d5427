// SPDX-License-Identifier: Apache-2.0
#include "tokamak/cli/load/event_reader.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace tokamak::cli {
namespace {

using Events = std::vector<std::string>;

Events read(const std::vector<std::string_view>& pieces) {
  EventReader reader;
  Events events;
  for (std::string_view piece : pieces) {
    EXPECT_TRUE(reader.push(piece, [&](std::string_view data) { events.emplace_back(data); }).ok());
  }
  return events;
}

TEST(EventReader, GivesTheDataOfEvents) {
  EXPECT_EQ(read({"data: {\"a\": 1}\n\ndata: [DONE]\n\n"}), (Events{"{\"a\": 1}", "[DONE]"}));
  EXPECT_EQ(read({"data:no space\n\ndata:  two\n\n"}), (Events{"no space", " two"}));
  EXPECT_EQ(read({"data: one\ndata: two\n\n"}), Events{"one\ntwo"});
  EXPECT_EQ(read({"data\n\ndata:\n\n"}), (Events{"", ""}));
  EXPECT_EQ(read({"data: a\r\n\r\ndata: b\r\rdata: c\n\n"}), (Events{"a", "b", "c"}));
}

TEST(EventReader, LeavesOutWhatIsNoData) {
  EXPECT_EQ(read({": a comment\n\nevent: error\nid: 7\ndata: a\n\nretry: 9\n\n"}), Events{"a"});
  EXPECT_EQ(read({"database: a\n\n data: b\n\n"}), Events{});
  EXPECT_EQ(read({"data: a\n\ndata: cut"}), Events{"a"});
}

TEST(EventReader, EverySplitOfASmallStreamGivesTheSameEvents) {
  for (std::string_view text :
       {"data: a\r\n\r\nda", "data:\n\n\ndata:é", "data\r\rdata:b\n\n", ":x\ndata: y\n\n\r"}) {
    const Events whole = read({text});
    for (uint32_t split = 0; split < 1u << (text.size() - 1); ++split) {
      std::vector<std::string_view> pieces;
      size_t begin = 0;
      for (size_t i = 0; i + 1 < text.size(); ++i) {
        if (!(split >> i & 1)) continue;
        pieces.push_back(text.substr(begin, i + 1 - begin));
        begin = i + 1;
      }
      pieces.push_back(text.substr(begin));
      ASSERT_EQ(read(pieces), whole) << text << " split " << split;
    }
  }
}

TEST(EventReader, EveryTwoCutsOfAnAnswerGiveTheSameEvents) {
  constexpr std::string_view kAnswer =
      "data: {\"choices\":[{\"text\":\"漢\"}]}\n\n: ping\n\n"
      "event: error\r\ndata: {\"error\":\r\ndata: {}}\r\n\r\ndata: [DONE]\n\n";
  const Events whole = read({kAnswer});
  ASSERT_EQ(whole, (Events{"{\"choices\":[{\"text\":\"漢\"}]}", "{\"error\":\n{}}", "[DONE]"}));
  for (size_t a = 0; a <= kAnswer.size(); ++a) {
    for (size_t b = a; b <= kAnswer.size(); ++b) {
      ASSERT_EQ(read({kAnswer.substr(0, a), kAnswer.substr(a, b - a), kAnswer.substr(b)}), whole)
          << a << ' ' << b;
    }
  }
}

TEST(EventReader, RefusesAnEventWithoutEnd) {
  for (std::string_view piece : {"data: aaaa", "data: aaaa\n", ":aaaaaaaaa"}) {
    EventReader reader(40);
    Result<void> status = {};
    for (int i = 0; i < 20 && status.ok(); ++i) status = reader.push(piece, [](auto) {});
    ASSERT_FALSE(status.ok()) << piece;
    EXPECT_EQ(status.error().message, "event stream: an event has more than 40 bytes");
  }
}

}  // namespace
}  // namespace tokamak::cli
