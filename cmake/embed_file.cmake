# SPDX-License-Identifier: Apache-2.0
# cmake -DINPUT=… -DHEADER=… -DNAMESPACE=… -DFUNCTION=… -DOUTPUT=… -P embed_file.cmake: writes a function that returns a file's text.

file(READ ${INPUT} text)
file(WRITE ${OUTPUT}.new "// SPDX-License-Identifier: Apache-2.0
// Written by cmake/embed_file.cmake.
#include \"${HEADER}\"

namespace ${NAMESPACE} {

std::string_view ${FUNCTION}() {
  return R\"_file_(${text})_file_\";
}

}  // namespace ${NAMESPACE}
")
file(COPY_FILE ${OUTPUT}.new ${OUTPUT} ONLY_IF_DIFFERENT)
