// SPDX-License-Identifier: Apache-2.0
#include "tokamak/text/tokenizer.h"

#include "tokamak/base/file.h"
#include "tokamak/text/pipeline.h"
#include "tokamak/text/tokenizer_json.h"

namespace tokamak::text {
namespace {

constexpr uint64_t kMaxFileBytes = uint64_t{512} << 20;

std::string_view as_text(const base::MappedFile& file) {
  auto bytes = file.bytes();
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

}  // namespace

Result<std::shared_ptr<const Tokenizer>> Tokenizer::load_file(const std::filesystem::path& path) {
  TKM_ASSIGN(base::MappedFile file, base::MappedFile::open(path));
  if (file.bytes().size() > kMaxFileBytes) {
    return base::corrupt(fmt::format(
        "{}: {} bytes, the limit is {}", path.string(), file.bytes().size(), kMaxFileBytes));
  }
  TKM_ASSIGN(Pipeline parts, read_tokenizer_json(as_text(file), path.string()));
  return std::shared_ptr<const Tokenizer>(std::make_shared<PipelineTokenizer>(std::move(parts)));
}

Result<std::shared_ptr<const Tokenizer>> Tokenizer::load(const std::filesystem::path& folder) {
  return load_file(folder / "tokenizer.json");
}

}  // namespace tokamak::text
