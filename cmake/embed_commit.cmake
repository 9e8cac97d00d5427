# SPDX-License-Identifier: Apache-2.0
# cmake -DSOURCE=… -DHEADER=… -DNAMESPACE=… -DFUNCTION=… -DOUTPUT=… -P embed_commit.cmake: writes a function that returns the commit
# of the source: of its own git checkout, else what $TOKAMAK_COMMIT says (images are built without .git), else "unknown".

set(commit "")
execute_process(COMMAND git -C ${SOURCE} rev-parse --show-toplevel OUTPUT_VARIABLE top ERROR_QUIET OUTPUT_STRIP_TRAILING_WHITESPACE)
# A source archive may have been unpacked within somebody else's checkout.
file(REAL_PATH ${SOURCE} source)
if("${top}" STREQUAL "${source}")
  execute_process(COMMAND git -C ${SOURCE} describe --always --dirty --abbrev=12 --exclude=*
                  OUTPUT_VARIABLE commit ERROR_QUIET OUTPUT_STRIP_TRAILING_WHITESPACE)
endif()
if("${commit}" STREQUAL "")
  set(commit "$ENV{TOKAMAK_COMMIT}")
endif()
if(NOT "${commit}" MATCHES "^[0-9a-zA-Z.+-]+$")
  set(commit "unknown")
endif()
file(WRITE ${OUTPUT}.new "// SPDX-License-Identifier: Apache-2.0
// Written by cmake/embed_commit.cmake.
#include \"${HEADER}\"

namespace ${NAMESPACE} {

std::string_view ${FUNCTION}() {
  return \"${commit}\";
}

}  // namespace ${NAMESPACE}
")
file(COPY_FILE ${OUTPUT}.new ${OUTPUT} ONLY_IF_DIFFERENT)
