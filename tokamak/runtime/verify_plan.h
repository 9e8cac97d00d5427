// SPDX-License-Identifier: Apache-2.0
// A plan held against itself and against this program before it is played. A plan comes from a
// file that anybody may have written; a kernel believes the types of its values.
#pragma once

#include "tokamak/device/device.h"
#include "tokamak/engine/plan.h"

namespace tokamak::runtime {

/// What holds afterwards, whatever the file said:
/// - each step has the types that its op asks for, reads only what was written before it or is
///   given to every step, and writes what nobody else writes;
/// - buffers live from the step that writes them to the last that reads them;
/// - ids index what they are meant for: token ids a table of the whole vocabulary, positions a
///   table of all positions, rows the batch;
/// - ops that attend have the heads and the type of the cache, and write each of its layers once,
///   before it is read; logits are f32[R, vocab_size];
/// - each choice is a tactic of this program and target that runs the step, and all that read a
///   weight read the layout in which it is packed; parts of a weight add up to it;
/// - sizes are small enough that no sum of them overflows.
/// Errors: corrupt, naming step, op, what is stated and what is allowed; unsupported (another
/// target, a tactic of another version).
Result<void> verify_plan(const engine::Plan& plan, const device::Device& device);

}  // namespace tokamak::runtime
