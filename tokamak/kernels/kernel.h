// SPDX-License-Identifier: Apache-2.0
// How a target runs an op. What is asked is a KernelDesc; what may answer is a Tactic with its
// candidate configurations; what was chosen becomes a Kernel, which runs many steps.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "tokamak/base/json.h"
#include "tokamak/device/device.h"
#include "tokamak/op/op.h"

namespace tokamak::kernels {

/// One op with the types of its values. `weights[i]`: input i is a weight, which a tactic may want
/// in a layout of its own.
struct KernelDesc {
  op::Op op;
  std::vector<TensorType> inputs, outputs;
  std::vector<bool> weights;
};

/// The batch in device memory, for targets whose kernels read it there. Arrays keep their addresses
/// from step to step, and a captured step is launched again with other contents, so a kernel
/// chooses its grid by the bounds here and by the shapes of its values, never by Launch::batch.
struct DeviceBatch {
  /// num_sequences + 1 values: sequence s has the rows [first_rows[s], first_rows[s + 1]), maybe
  /// none. Rows from first_rows[num_sequences] on are padding: they have no sequence, write no
  /// cache, and what is computed for them is not read.
  const int32_t* first_rows = nullptr;
  const int32_t* contexts = nullptr;    ///< Cached tokens of each sequence before this step.
  const int32_t* page_table = nullptr;  ///< [num_sequences, max_pages]
  int32_t num_sequences = 0;
  int32_t max_pages = 0;          ///< Pages of the longest sequence that there can be.
  int32_t max_sequence_rows = 0;  ///< No sequence has more rows in this step; 1: decoding.
};

/// The values of one call. A weight that the tactic packs has its logical shape and the packed
/// bytes at `data`.
struct Launch {
  std::span<const TensorView> inputs, outputs;
  const op::BatchView* batch = nullptr;       ///< `layers` everywhere; `sequences` on the host.
  const DeviceBatch* device_batch = nullptr;  ///< On targets with memory of their own.
  void* workspace = nullptr;  ///< As many bytes as workspace_bytes asked for these tokens and rows;
                              ///< 64-byte aligned.
};

/// An op ready to run on a device. run() is called by one thread at a time and may use the device's
/// pool. Outputs do not overlap inputs. Layers share kernels: no launch sees what the last left.
class Kernel {
 public:
  virtual ~Kernel() = default;
  /// Scratch for a step of at most so many tokens, rows and sequences.
  virtual int64_t workspace_bytes(int64_t /*max_tokens*/,
                                  int64_t /*max_rows*/,
                                  int64_t /*max_sequences*/) const {
    return 0;
  }
  virtual void run(const Launch& launch) = 0;
};

/// How a tactic wants the weight at input 1 (logical shape [N, K], one row an output). Two tactics
/// with the same layout name accept the same bytes for the same desc.
struct WeightLayout {
  std::string_view name;  ///< "row_major": as stored, no packing.
  int64_t (*bytes)(const KernelDesc&) = nullptr;
  /// Packs rows [first, first + count) given row-major in the weight's dtype. Calls for disjoint
  /// rows may run at the same time.
  void (*pack_rows)(
      const KernelDesc&, const void* rows, int64_t first, int64_t count, void* packed) = nullptr;
};
const WeightLayout& row_major_layout();

/// One way to run some ops on one target. Stateless: a row of the table in tactics.cpp.
struct Tactic {
  std::string_view name;  ///< "<op>_<target>_<algorithm>"
  int version = 1;  ///< Counts changes of speed or layout; part of cached tunings and of engines.
  Target target = Target::kReference;
  const WeightLayout* layout = nullptr;  ///< Of input 1, if that is a weight; null: row-major.
  /// Configurations worth timing for this problem with steps of `tokens` rows, best guess first;
  /// empty: the tactic cannot run it.
  std::vector<Json> (*candidates)(const KernelDesc&,
                                  int64_t tokens,
                                  const device::Device&) = nullptr;
  /// Errors: invalid (a config that candidates() never returns).
  Result<std::unique_ptr<Kernel>> (*make)(const KernelDesc&,
                                          const Json& config,
                                          device::Device&) = nullptr;
};

/// The one table of all tactics of all targets.
std::span<const Tactic* const> all_tactics();
const Tactic* find_tactic(std::string_view name);

/// An op and how to run it, resolved: "attention: head_dim 80 has no cuda tactic".
struct Candidate {
  const Tactic* tactic;
  Json config;
};
/// Every way to run `desc` on the device's target with `tokens` rows. Errors: unsupported, naming
/// op, types and target.
Result<std::vector<Candidate>> candidates(const KernelDesc& desc,
                                          int64_t tokens,
                                          const device::Device& device);

/// Made or failed.
using MadeKernel = std::optional<Result<std::unique_ptr<Kernel>>>;
/// make(0) to make(count - 1), side by side where making compiles.
std::vector<MadeKernel> make_kernels(
    device::Device& device,
    int64_t count,
    const std::function<Result<std::unique_ptr<Kernel>>(int64_t)>& make);

}  // namespace tokamak::kernels
