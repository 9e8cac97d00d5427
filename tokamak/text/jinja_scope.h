// SPDX-License-Identifier: Apache-2.0
// Decides where each variable of a template lives, by Jinja's rules of scope: loops, macros, with,
// captures and call blocks have variables of their own, conditions do not; an assignment within a
// scope starts from a copy of the outer variable and never changes it; a name that the scopes
// around never mention comes from the context.
#pragma once

#include "tokamak/text/jinja_ast.h"

namespace tokamak::text::jinja {

void resolve_names(TemplateTree& tree);

}  // namespace tokamak::text::jinja
