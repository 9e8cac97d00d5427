// SPDX-License-Identifier: Apache-2.0
// The access log: one line of JSON a request. No query, no header, no text of anybody is in it.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>

namespace tokamak::server {

struct AccessRecord {
  std::string method, path;  ///< Empty if what came was no request.
  std::string request_id;
  int key = -1;          ///< Which API key was given, from 0 on in the order in which they were.
  int status = 0;        ///< 499 if the client went away before its answer began.
  int64_t bytes = 0;     ///< Of the answer's body.
  bool complete = true;  ///< False: the connection ended before all of it had left.
  std::chrono::nanoseconds took{};  ///< From the request's first byte to the answer's last.
};

std::string access_line(const AccessRecord& record, std::chrono::system_clock::time_point now);
/// Writes the line of now to stderr, at once and whole.
void write_access_line(const AccessRecord& record);

}  // namespace tokamak::server
