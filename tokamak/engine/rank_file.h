// SPDX-License-Identifier: Apache-2.0
// rank0.engine as bytes: a line of JSON that says what follows, the plan's JSON, the machine code
// of kernels.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "tokamak/base/result.h"

namespace tokamak::engine {

/// Machine code of one kernel of a plan or of the session that plays it. What `content` holds is
/// the device's business.
struct EngineCode {
  std::string name, key, content;  ///< As device::KernelCode's.
};

struct RankFile {
  std::string plan;  ///< JSON.
  std::vector<EngineCode> code;
};

std::string write_rank_file(const RankFile& file);
/// Errors: corrupt, naming `shown` and what is wrong: a part that is missing, too short or too
/// long.
Result<RankFile> read_rank_file(std::string_view content, const std::string& shown);

}  // namespace tokamak::engine
