// SPDX-License-Identifier: Apache-2.0
// The API's description by OpenAPI 3.1, made of the tables of routes, fields and parameters.
// Goals: every route, every field with the values that it may have. Non-goal: the answers' members.
#pragma once

#include "tokamak/server/model.h"
#include "tokamak/server/router.h"

namespace tokamak::server {

/// `model` is null while it loads; its limits are then left out.
Json openapi_of(std::span<const Route> routes, const Model* model);

}  // namespace tokamak::server
