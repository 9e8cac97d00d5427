# SPDX-License-Identifier: Apache-2.0
# cmake -DFOLDER=… -DOUTPUT=… -P embed_sources.cmake: writes the device code under FOLDER as a C++ table of string literals.

file(GLOB_RECURSE files RELATIVE ${FOLDER} ${FOLDER}/*.cuh)
list(SORT files)
set(table "")
foreach(path ${files})
  file(READ ${FOLDER}/${path} text)
  string(APPEND table "    {\"${path}\", R\"_cuda_(${text})_cuda_\"},\n")
endforeach()
file(WRITE ${OUTPUT}.new "// SPDX-License-Identifier: Apache-2.0
// Written by cmake/embed_sources.cmake.
#include \"tokamak/kernels/cuda/sources.h\"

namespace tokamak::kernels::cuda {

std::span<const device::cuda::EmbeddedFile> sources() {
  static const device::cuda::EmbeddedFile kFiles[] = {
${table}    {\"\", \"\"}};
  return std::span(kFiles).first(std::size(kFiles) - 1);
}

}  // namespace tokamak::kernels::cuda
")
file(COPY_FILE ${OUTPUT}.new ${OUTPUT} ONLY_IF_DIFFERENT)
