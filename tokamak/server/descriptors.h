// SPDX-License-Identifier: Apache-2.0
// How many sockets this process may have.
#pragma once

#include <cstdint>

namespace tokamak::server {

/// Raises the limit of file descriptors as far as it goes and returns it.
int64_t raise_descriptor_limit();

/// `wanted` connections, or as many as a process of so many descriptors can have beside its files.
int64_t connections_within(int64_t wanted, int64_t descriptors);

}  // namespace tokamak::server
