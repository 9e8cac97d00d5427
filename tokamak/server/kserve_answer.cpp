// SPDX-License-Identifier: Apache-2.0
#include "tokamak/server/kserve_answer.h"

namespace tokamak::server {

void KServeAnswer::take(size_t request, executor::Response response, std::string& out) {
  std::string& text = texts_[request];
  text += response.text;
  if (!streams()) return;
  pending_tokens_ += static_cast<int64_t>(response.tokens.size());
  const bool due = pending_tokens_ >= stream_interval_ || response.finish;
  if (!due || text.empty()) return;
  shape_.piece(text, out);
  text.clear();
  pending_tokens_ = 0;
}

int64_t KServeAnswer::whole_bytes() const {
  int64_t bytes = 0;
  for (const std::string& text : texts_) bytes += std::ssize(text);
  return bytes;
}

HttpResponse KServeAnswer::head() const {
  HttpResponse response;
  response.content_type = shape_.stream_type;
  response.headers = {{"Cache-Control", "no-cache"}, {"X-Accel-Buffering", "no"}};
  return response;
}

}  // namespace tokamak::server
