// SPDX-License-Identifier: Apache-2.0
// The answers to one HTTP request: streams of the executor, pumped to the client without a thread
// of their own.
#pragma once

#include <memory>
#include <vector>

#include "tokamak/executor/executor.h"
#include "tokamak/server/context_length.h"
#include "tokamak/server/service.h"

namespace tokamak::server {

/// What an endpoint makes of responses: events as they come, or one body at the end.
class AnswerWriter {
 public:
  virtual ~AnswerWriter() = default;
  virtual bool streams() const = 0;
  /// Before anything is computed: what the answer repeats of its prompts fits `max_bytes`. Errors:
  /// invalid, naming the field that asks for it.
  virtual Result<void> check_size(int64_t /*max_bytes*/) const { return {}; }
  /// Takes a response to request `request` of the plan. Streaming, appends what can be sent.
  virtual void take(size_t request, executor::Response response, std::string& out) = 0;
  /// Streaming, after the last response: what ends the stream.
  virtual void end(std::string& out) = 0;
  /// Streaming, instead of end(): the answer failed after it had begun. False if the stream has no
  /// way to say so; the connection is then cut.
  virtual bool fail(const Fault& fault, std::string& out) = 0;
  virtual HttpResponse head() const = 0;    ///< Streaming: status, type and headers.
  virtual HttpResponse whole() = 0;         ///< Not streaming, after the last response.
  virtual int64_t whole_bytes() const = 0;  ///< About how long its body will be.
};

struct GenerationPlan {
  std::shared_ptr<const Model> model;
  std::vector<executor::Request> requests;
  std::unique_ptr<AnswerWriter> writer;
  LengthNames names;
};

/// Submits all requests of the plan, or none if one is too long for the model, or answers with the
/// error of the first that is refused. They take turns with those of other API keys, and of other
/// exchanges under the same key. When
/// the client goes away, its requests are cancelled and their pages freed. While the client reads
/// slower than the model writes, the answers wait in their TokenStreams.
void generate(Service& service, const std::shared_ptr<Exchange>& exchange, GenerationPlan plan);

}  // namespace tokamak::server
