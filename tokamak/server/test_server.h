// SPDX-License-Identifier: Apache-2.0
// For tests: a server on a fake model, and a client of plain sockets that can misbehave.
#pragma once

#include <chrono>
#include <map>
#include <memory>
#include <string>
#include <thread>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tokamak/executor/fake_session.h"
#include "tokamak/server/server.h"

namespace tokamak::server {

using namespace std::chrono_literals;

struct Answer {
  int status = 0;
  std::map<std::string, std::string> headers;  // Names in lower case.
  std::string body;                            // Without its chunks' frames.
  bool complete = false;                       // As its framing says.

  Json json() const { return Json::parse(body, nullptr, /*allow_exceptions=*/false); }
  /// The data of its events, "[DONE]" too.
  std::vector<std::string> events() const {
    std::vector<std::string> out;
    size_t begin = 0;
    for (size_t end; (end = body.find("\n\n", begin)) != std::string::npos; begin = end + 2) {
      std::string event = body.substr(begin, end - begin);
      out.push_back(event.starts_with("data: ") ? event.substr(6) : "not an event: " + event);
    }
    if (begin != body.size()) out.push_back("half an event: " + body.substr(begin));
    return out;
  }
};

/// One connection. Nothing waits longer than 20 seconds.
class Client {
 public:
  explicit Client(int port) : socket_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(static_cast<uint16_t>(port));
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    connected_ = ::connect(socket_, reinterpret_cast<sockaddr*>(&address), sizeof(address)) == 0;
  }
  /// Of a socket that is connected; takes ownership.
  static std::unique_ptr<Client> of_socket(int descriptor) {
    return std::unique_ptr<Client>(new Client(Connected{descriptor}));
  }
  ~Client() { close(); }
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;

  bool connected() const { return connected_; }
  int descriptor() const { return socket_; }
  void close() {
    if (socket_ >= 0) ::close(socket_);
    socket_ = -1;
  }
  void end_writing() { ::shutdown(socket_, SHUT_WR); }
  bool send(std::string_view bytes) {
    while (!bytes.empty()) {
      const ssize_t sent = ::send(socket_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (sent <= 0) return false;
      bytes.remove_prefix(static_cast<size_t>(sent));
    }
    return true;
  }
  /// Appends what comes within `timeout` to the buffer; false at the end of input.
  bool read_some(std::chrono::milliseconds timeout = 20s) {
    pollfd poll{socket_, POLLIN, 0};
    if (::poll(&poll, 1, static_cast<int>(timeout.count())) <= 0) return false;
    char bytes[65536];
    const ssize_t size = ::recv(socket_, bytes, sizeof(bytes), 0);
    if (size <= 0) return false;
    buffer_.append(bytes, static_cast<size_t>(size));
    return true;
  }
  /// True when the server closes the connection within `timeout`.
  bool closed_by_server(std::chrono::milliseconds timeout = 20s) {
    const auto end = std::chrono::steady_clock::now() + timeout;
    while (std::chrono::steady_clock::now() < end) {
      pollfd poll{socket_, POLLIN, 0};
      if (::poll(&poll, 1, 10) <= 0) continue;
      char bytes[4096];
      if (::recv(socket_, bytes, sizeof(bytes), 0) <= 0) return true;
    }
    return false;
  }
  const std::string& buffer() const { return buffer_; }

  /// Reads one answer; what comes behind it stays in the buffer.
  Answer read_answer(bool head_only = false) {
    Answer answer;
    size_t end;
    while ((end = buffer_.find("\r\n\r\n")) == std::string::npos) {
      if (!read_some()) return answer;
    }
    read_head(buffer_.substr(0, end), answer);
    buffer_.erase(0, end + 4);
    if (answer.status == 100) return read_answer(head_only);
    if (head_only) {
      answer.complete = true;
    } else if (answer.headers.contains("content-length")) {
      read_sized(std::stoul(answer.headers["content-length"]), answer);
    } else if (answer.headers["transfer-encoding"] == "chunked") {
      read_chunks(answer);
    } else {
      while (read_some()) {
      }
      answer.body = std::move(buffer_);
      buffer_.clear();
      answer.complete = true;
    }
    return answer;
  }

 private:
  struct Connected {
    int descriptor;
  };
  explicit Client(Connected socket) : socket_(socket.descriptor), connected_(true) {}

  static void read_head(const std::string& head, Answer& answer) {
    answer.status = std::stoi(head.substr(9, 3));
    size_t begin = head.find("\r\n");
    while (begin != std::string::npos) {
      const size_t line = begin + 2;
      begin = head.find("\r\n", line);
      const std::string field = head.substr(line, begin - line);
      const size_t colon = field.find(": ");
      std::string name = field.substr(0, colon);
      for (char& c : name) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
      answer.headers[name] = field.substr(colon + 2);
    }
  }
  void read_sized(size_t size, Answer& answer) {
    while (buffer_.size() < size) {
      if (!read_some()) return;
    }
    answer.body = buffer_.substr(0, size);
    buffer_.erase(0, size);
    answer.complete = true;
  }
  void read_chunks(Answer& answer) {
    for (;;) {
      size_t end;
      while ((end = buffer_.find("\r\n")) == std::string::npos) {
        if (!read_some()) return;
      }
      const size_t size = std::stoul(buffer_.substr(0, end), nullptr, 16);
      while (buffer_.size() < end + 2 + size + 2) {
        if (!read_some()) return;
      }
      answer.body += buffer_.substr(end + 2, size);
      buffer_.erase(0, end + 2 + size + 2);
      if (size == 0) {
        answer.complete = true;
        return;
      }
    }
  }

  int socket_;
  bool connected_ = false;
  std::string buffer_;
};

/// True as soon as `condition` is; false if it is not within 20 seconds.
template <typename Condition>
bool eventually(Condition condition, std::chrono::milliseconds timeout = 20s) {
  const auto end = std::chrono::steady_clock::now() + timeout;
  while (!condition()) {
    if (std::chrono::steady_clock::now() >= end) return false;
    std::this_thread::sleep_for(1ms);
  }
  return true;
}

/// "POST /path HTTP/1.1" with its headers and body.
inline std::string request_text(std::string_view method,
                                std::string_view path,
                                std::string_view body = {},
                                std::string_view headers = {}) {
  std::string out = fmt::format("{} {} HTTP/1.1\r\nHost: test\r\n{}", method, path, headers);
  if (!body.empty()) {
    if (headers.find("Content-Type") == std::string_view::npos) {
      out += "Content-Type: application/json\r\n";
    }
    out += fmt::format("Content-Length: {}\r\n", body.size());
  }
  return out + "\r\n" + std::string(body);
}

inline constexpr int64_t kVocab = 96;
inline constexpr int32_t kEos = 95;

/// Characters from space to '~' are tokens 0 to 94, and 95 ends an answer. The model says what
/// FakeSession says, which is nearly never 95.
class TestServer {
 public:
  struct Setup {
    ServerOptions server;
    executor::ExecutorOptions executor;
    runtime::SessionInfo session{.vocab_size = kVocab,
                                 .max_seq_len = 512,
                                 .max_step_tokens = 64,
                                 .max_step_rows = 16,
                                 .max_sequences = 16,
                                 .num_pages = 64};
    runtime::SamplingParams defaults;
    std::optional<int64_t> default_max_tokens;
    std::chrono::microseconds step_time{0};  // A step takes at least so long.
    std::function<bool()> device_lost;       // Asked at each step.
    bool load = true;
  };

  TestServer() : TestServer(Setup()) {}
  explicit TestServer(Setup setup) : setup_(std::move(setup)) {
    setup_.server.port = 0;
    server = Server::start(setup_.server).value();
    if (setup_.load) load();
  }
  ~TestServer() { server->stop(); }

  void load() {
    auto session = std::make_unique<executor::FakeSession>(setup_.session);
    session->on_step = [step_time = setup_.step_time,
                        lost = setup_.device_lost](const runtime::Step&) -> Result<void> {
      std::this_thread::sleep_for(step_time);
      if (lost && lost()) return Error{ErrorCode::kDevice, "the fake device is lost", ""};
      return {};
    };
    fake = session.get();
    if (on_sample) session->on_sample = on_sample;
    std::vector<std::string> pieces;
    for (char c = ' '; c <= '~'; ++c) pieces.push_back(std::string(1, c));
    pieces.push_back("<end>");
    auto tokenizer = std::make_shared<executor::FakeTokenizer>(std::move(pieces), kEos);
    Model model;
    model.names = {"fake", "alias"};
    executor = executor::Executor::start(std::move(session), tokenizer, setup_.executor).value();
    model.executor = executor;
    model.tokenizer = tokenizer;
    model.chat_template = text::ChatTemplate::parse(
                              "{% for m in messages %}[{{ m.role }}]{{ m.content }}{% endfor %}"
                              "{% if add_generation_prompt %}[assistant]{% endif %}"
                              "{{ extra }}{{ reasoning_effort }}"
                              "{% if fails %}{{ raise_exception('no') }}{% endif %}")
                              .value();
    model.defaults = setup_.defaults;
    model.default_max_tokens = setup_.default_max_tokens;
    model.target = "fake";
    server->serve(std::move(model));
  }

  Answer ask(std::string_view method,
             std::string_view path,
             std::string_view body = {},
             std::string_view headers = {}) const {
    Client client(server->port());
    client.send(request_text(method, path, body, headers));
    return client.read_answer(method == "HEAD");
  }
  Answer get(std::string_view path) const { return ask("GET", path); }
  Answer post(std::string_view path, const Json& body) const {
    return ask("POST", path, body.dump());
  }

  /// What the model answers to a prompt, by its own rule.
  static std::string expected(std::string_view prompt, int64_t count) {
    std::vector<int32_t> ids;
    for (char c : prompt) ids.push_back(c - ' ');
    std::string text;
    for (int32_t id : executor::FakeSession::answer(ids, count, kVocab)) {
      if (id == kEos) break;
      text.push_back(static_cast<char>(' ' + id));
    }
    return text;
  }
  /// True as soon as nothing runs, nothing waits and no page is in use.
  bool becomes_idle(std::chrono::milliseconds timeout = 10s) const {
    return eventually(
        [&] {
          const executor::ExecutorStats stats = executor->stats();
          return stats.running == 0 && stats.waiting == 0 && stats.pages_used == 0;
        },
        timeout);
  }

  std::unique_ptr<Server> server;
  std::shared_ptr<executor::Executor> executor;
  executor::FakeSession* fake = nullptr;
  /// Set before load().
  std::function<std::optional<Result<runtime::Sampled>>(const runtime::SampleRow&)> on_sample;

 private:
  Setup setup_;
};

}  // namespace tokamak::server
