// SPDX-License-Identifier: Apache-2.0
// What stands beside a tokenizer's own file: any bytes as tokenizer_config.json and, after zero
// bytes, as special_tokens_map.json and added_tokens.json. Loading gives a tokenizer or an error,
// and names of special tokens whose texts it encodes; the chat templates are there or say why not.
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>

#include <unistd.h>

#include "tokamak/base/json.h"
#include "tokamak/text/byte_level.h"
#include "tokamak/text/chat_templates.h"
#include "tokamak/text/tokenizer.h"

namespace {

namespace fs = std::filesystem;
using namespace tokamak;

void write(const fs::path& path, std::string_view content) {
  std::ofstream(path, std::ios::binary) << content;
}

/// With a vocabulary of the bytes.
const fs::path& folder() {
  static const fs::path path = [] {
    fs::path made =
        fs::temp_directory_path() / ("tokamak_folder_fuzz." + std::to_string(::getpid()));
    fs::create_directories(made);
    Json vocab = Json::object();
    for (int byte = 0; byte < 256; ++byte)
      vocab[text::bytes_to_alphabet(std::string(1, static_cast<char>(byte)))] = byte;
    vocab["<|endoftext|>"] = 256;
    write(made / "vocab.json", vocab.dump());
    write(made / "merges.txt", "#version: 0.2\n");
    std::atexit([] { fs::remove_all(folder()); });
    return made;
  }();
  return path;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  std::string_view rest(reinterpret_cast<const char*>(data), size);
  for (const char* name :
       {"tokenizer_config.json", "special_tokens_map.json", "added_tokens.json"}) {
    const size_t end = std::min(rest.find('\0'), rest.size());
    fs::remove(folder() / name);
    if (end > 0) write(folder() / name, rest.substr(0, end));
    rest.remove_prefix(std::min(rest.size(), end + 1));
  }
  const text::ChatTemplates templates = text::load_chat_templates(folder());
  if (templates.tool_use && !templates.chat) std::abort();
  (void)templates.faults();
  auto tokenizer = text::Tokenizer::load(folder());
  if (!tokenizer.ok()) return 0;
  for (const auto& [name, token] : (*tokenizer)->special_names().tokens) {
    auto ids = (*tokenizer)->encode("a " + token + "b");
    if (ids.ok()) (void)(*tokenizer)->decode(*ids, false);
  }
  return 0;
}
