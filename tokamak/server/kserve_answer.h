// SPDX-License-Identifier: Apache-2.0
// Responses of the executor as texts, in the shapes of KServe's two protocols.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "tokamak/server/generation.h"

namespace tokamak::server {

/// What differs between the endpoints.
struct KServeShape {
  std::function<HttpResponse(std::vector<std::string> texts)> whole;
  std::string stream_type;  ///< Empty: not streamed; else its Content-Type. Streams have one text.
  std::function<void(std::string_view piece, std::string& out)> piece;
  std::function<bool(const Fault& fault, std::string& out)> fail;
};

class KServeAnswer : public AnswerWriter {
 public:
  /// The answers begin with `prompts`, which may be empty texts.
  KServeAnswer(std::vector<std::string> prompts, int64_t stream_interval, KServeShape shape)
      : texts_(std::move(prompts)), stream_interval_(stream_interval), shape_(std::move(shape)) {}

  bool streams() const override { return !shape_.stream_type.empty(); }
  void take(size_t request, executor::Response response, std::string& out) override;
  void end(std::string&) override {}
  bool fail(const Fault& fault, std::string& out) override { return shape_.fail(fault, out); }
  HttpResponse head() const override;
  int64_t whole_bytes() const override;
  HttpResponse whole() override { return shape_.whole(std::move(texts_)); }

 private:
  std::vector<std::string> texts_;  // Streaming: what has not been sent.
  const int64_t stream_interval_;
  const KServeShape shape_;
  int64_t pending_tokens_ = 0;
};

}  // namespace tokamak::server
