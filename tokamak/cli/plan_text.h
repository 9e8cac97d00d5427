// SPDX-License-Identifier: Apache-2.0
// The plan of an engine for people: as text and as one HTML page.
#pragma once

#include <string>

#include "tokamak/engine/engine.h"
#include "tokamak/runtime/engine_session.h"

namespace tokamak::cli {

/// Model, steps with their tactics for one token and for many, and the byte table.
std::string plan_text(const engine::Engine& engine, const runtime::SessionPlan& planned);
/// Each distinct problem once: tactic, time and runner-up for every token bucket.
std::string kernels_text(const engine::Plan& plan);
/// A self-contained page: byte table as bars, each kind of layer with its kernels as boxes for each
/// token bucket (time, share of the floor), tactics by bucket.
std::string plan_html(const engine::Engine& engine, const runtime::SessionPlan& planned);

}  // namespace tokamak::cli
