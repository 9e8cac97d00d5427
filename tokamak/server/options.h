// SPDX-License-Identifier: Apache-2.0
// Settings of a server.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "tokamak/base/fields.h"

namespace tokamak::server {

/// Errors: invalid, naming the first that is empty or holds a space.
Result<void> validate_keys(const std::vector<std::string>& api_keys);

struct ServerOptions {
  std::string host = "127.0.0.1";  ///< Address to listen on; other machines reach 0.0.0.0 and ::.
  int64_t port = 8000;             ///< 0 takes a free one. [0, 65535]
  int64_t http_threads = 2;        ///< Threads that read and write sockets. [1, 256]
  int64_t request_threads = 2;  ///< Threads that parse bodies, render templates, tokenize. [1, 256]

  std::vector<std::string> api_keys;  ///< Any of them opens every path; none: no key is asked for.
  std::string tls_certificate, tls_key;  ///< PEM files, both or none.
  std::vector<std::string>
      cors_origins;  ///< Whose pages may use the server, besides this machine's;
                     ///< "*": everybody's.
  std::vector<std::string> allowed_hosts;  ///< Names that this machine has, for a loopback address
                                           ///< without keys; "*": all.
  std::string root_path;                   ///< Of a proxy that leaves it in paths: "/llm".

  int64_t max_connections = 10'000;      ///< More are closed at once. >= 1
  int64_t max_header_bytes = 16 << 10;   ///< Of request line and headers. [1024, 1 MiB]
  int64_t max_body_bytes = 8 << 20;      ///< [1, 1 GiB]
  int64_t max_body_bytes_total = 0;      ///< Of all requests that have not been read yet, together;
                                         ///< 0: 32 x max_body_bytes. >= 2 x max_body_bytes
  int64_t max_request_queue = 4096;      ///< That may wait for a request thread; more get 429. >= 1
  int64_t max_choices = 1024;            ///< Answers to one request: prompts x n. >= 1
  int64_t max_answer_bytes = 256 << 20;  ///< What answers to one request repeat of its prompts, and
                                         ///< what of them is kept until they are whole. >= 1
  bool allow_priority = false;           ///< Requests may go before others that came earlier.
  double header_timeout_seconds = 10;    ///< From the first byte to the end of the headers. > 0
  double body_timeout_seconds = 60;      ///< From the headers to the end of the body. > 0
  double handler_timeout_seconds = 60;   ///< From the body to where the model takes over, or to the
                                         ///< answer if it does not. > 0
  double idle_timeout_seconds = 75;      ///< Between two requests. > 0
  double write_timeout_seconds = 60;     ///< Without any progress of a write. > 0
  bool strict_fields = false;            ///< Refuse unknown fields instead of counting them.
  bool log_requests = false;             ///< A line of JSON on stderr for each request.
  bool metrics_aliases = true;           ///< Also publish metrics under the names of vLLM, Triton.

  static constexpr auto kFields =
      std::tuple{Field{"host", &ServerOptions::host},
                 Field{"port", &ServerOptions::port},
                 Field{"http_threads", &ServerOptions::http_threads},
                 Field{"request_threads", &ServerOptions::request_threads},
                 Field{"tls_certificate", &ServerOptions::tls_certificate},
                 Field{"tls_key", &ServerOptions::tls_key},
                 Field{"root_path", &ServerOptions::root_path},
                 Field{"max_connections", &ServerOptions::max_connections},
                 Field{"max_header_bytes", &ServerOptions::max_header_bytes},
                 Field{"max_body_bytes", &ServerOptions::max_body_bytes},
                 Field{"max_body_bytes_total", &ServerOptions::max_body_bytes_total},
                 Field{"max_request_queue", &ServerOptions::max_request_queue},
                 Field{"max_choices", &ServerOptions::max_choices},
                 Field{"max_answer_bytes", &ServerOptions::max_answer_bytes},
                 Field{"allow_priority", &ServerOptions::allow_priority},
                 Field{"header_timeout_seconds", &ServerOptions::header_timeout_seconds},
                 Field{"body_timeout_seconds", &ServerOptions::body_timeout_seconds},
                 Field{"handler_timeout_seconds", &ServerOptions::handler_timeout_seconds},
                 Field{"idle_timeout_seconds", &ServerOptions::idle_timeout_seconds},
                 Field{"write_timeout_seconds", &ServerOptions::write_timeout_seconds},
                 Field{"strict_fields", &ServerOptions::strict_fields},
                 Field{"log_requests", &ServerOptions::log_requests},
                 Field{"metrics_aliases", &ServerOptions::metrics_aliases}};

  /// max_body_bytes_total, or what it stands for if it is 0.
  int64_t body_budget_bytes() const;
  /// Errors: invalid, naming the field, its value and the limit.
  Result<void> validate() const;
};

}  // namespace tokamak::server
