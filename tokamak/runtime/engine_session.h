// SPDX-License-Identifier: Apache-2.0
// The session of an engine on a device: plays the plan's steps over memory that was all allocated
// when it was opened.
#pragma once

#include "tokamak/base/progress.h"
#include "tokamak/device/device.h"
#include "tokamak/engine/engine.h"
#include "tokamak/runtime/session.h"

namespace tokamak::runtime {

/// Run-time limits. A zero takes the default, which the memory of the device bounds.
struct SessionOptions {
  int64_t max_step_tokens = 0;  ///< 0: 512 on a CPU, 2048 on a GPU.
  int64_t max_step_rows = 0;    ///< 0: as many as sequences.
  int64_t max_sequences = 64;
  int64_t max_seq_len = 0;  ///< 0: the model's.
  int64_t kv_tokens = 0;    ///< Capacity of the KV pool in tokens; 0: `max_sequences` sequences of
                            ///< the full length, if the memory share allows.
  double memory_share =
      0.85;  ///< Of the device's free memory that the session may take with kv_tokens = 0.
  int64_t memory_bytes = 0;   ///< That the session may take; 0: as memory_share says.
  bool check_weights = true;  ///< Compare what is loaded with the engine's hashes, if it has any.
};

/// What a session allocates, before it does: the byte table of `engine` under `options`.
struct SessionPlan {
  engine::StepLimits limits;
  engine::MemoryPlan memory;
  int64_t max_seq_len = 0;
  int64_t long_sequence_after = 0;  ///< See SessionInfo.
  int64_t in_use_bytes = 0;  ///< Of a GPU before: the driver's, the kernels', other processes'.
};
/// Errors: those of verify_plan(), invalid (an option out of range), out_of_memory with the table
/// and what to change.
Result<SessionPlan> plan_session(const engine::Engine& engine,
                                 device::Device& device,
                                 const SessionOptions& options);

/// The machine code of all kernels that sessions of the engine run, for the engine to carry.
/// Errors: those of making the kernels.
Result<std::vector<engine::EngineCode>> session_code(const engine::Engine& engine,
                                                     device::Device& device);

/// Opens the engine: verifies, plans, allocates, loads the weights. Nothing is allocated on the
/// device after this returns.
Result<std::unique_ptr<Session>> open_session(const engine::Engine& engine,
                                              std::shared_ptr<device::Device> device,
                                              const SessionOptions& options,
                                              const base::Progress& progress = {});

}  // namespace tokamak::runtime
