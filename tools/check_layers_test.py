#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Plants one violation of each kind in a copy of the tree's skeleton and expects check_layers.py to name it."""

import pathlib
import tempfile
import unittest

import check_layers

ROOT = pathlib.Path(__file__).resolve().parent.parent
SPDX = "// SPDX-License-Identifier: Apache-2.0\n"


class CheckLayers(unittest.TestCase):

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.root = pathlib.Path(folder.name)
        for name in ["docs/architecture.md", "CMakeLists.txt"]:
            self.write(name, (ROOT / name).read_text(encoding="utf-8"))

    def write(self, name, text):
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")

    def findings(self, name=None, text=None):
        if name:
            self.write(name, text)
        return [str(finding) for finding in check_layers.check_tree(self.root)]

    def test_an_allowed_include_through_another_module_passes(self):
        self.assertEqual(self.findings("tokamak/ir/graph.cpp", SPDX + '#include "tokamak/base/result.h"\n'), [])

    def test_an_include_upwards_is_named_with_its_line(self):
        found = self.findings("tokamak/runtime/session.cpp", SPDX + '\n#include "tokamak/ir/graph.h"\n')
        self.assertEqual(len(found), 1)
        self.assertTrue(found[0].startswith(
            "tokamak/runtime/session.cpp:3: runtime (layer 5) may not include ir (layer 3)"), found[0])

    def test_modules_of_one_layer_do_not_see_each_other(self):
        found = self.findings("tokamak/op/op.cpp", SPDX + '#include "tokamak/device/device.h"\n')
        self.assertIn("op (layer 2) may not include device (layer 2)", found[0])

    def test_tests_keep_the_rule_and_the_tests_folder_may_span_modules(self):
        include = SPDX + '#include "tokamak/compiler/pipeline.h"\n'
        self.assertIn("passes (layer 4) may not include compiler",
                      self.findings("tokamak/passes/x_test.cpp", include)[0])
        (self.root / "tokamak/passes/x_test.cpp").unlink()
        self.assertEqual(self.findings("tests/golden/families_test.cpp", include), [])

    def test_cuda_headers_stay_in_their_folders(self):
        text = SPDX + "#include <cuda_runtime.h>\n#include <cuda.h>\n"
        self.assertEqual(self.findings("tokamak/device/cuda/driver.cpp", text), [])
        self.assertEqual(len(self.findings("tokamak/runtime/step.cpp", text)), 2)

    def test_an_include_inside_a_comment_or_a_string_does_not_count(self):
        text = SPDX + '// #include <cuda.h>\n/*\n#include "tokamak/ir/graph.h"\n*/\nauto s = "alloca(1)";\n'
        self.assertEqual(self.findings("tokamak/base/x.cpp", text), [])

    def test_relative_and_angled_includes_of_our_headers_are_refused(self):
        text = SPDX + '#include "result.h"\n#include <tokamak/base/result.h>\n'
        self.assertEqual(len(self.findings("tokamak/base/x.cpp", text)), 2)

    def test_static_rules(self):
        for text, rule in [("int* p = (int*)alloca(n);", "alloca"), ("#include <regex>", "std::regex"),
                           ("std::regex r;", "std::regex")]:
            self.assertIn(rule, self.findings("tokamak/base/x.cpp", SPDX + text + "\n")[0])
        (self.root / "tokamak/base/x.cpp").unlink()
        self.assertIn("#pragma once", self.findings("tokamak/base/x.h", SPDX)[0])
        self.assertIn("#pragma once", self.findings("tokamak/kernels/cpu/x-inl.h", SPDX)[0])
        (self.root / "tokamak/base/x.h").unlink()
        self.assertEqual(self.findings("tokamak/kernels/cpu/x-inl.h", SPDX + "#ifdef HWY_TARGET_TOGGLE\n"), [])

    def test_a_file_without_a_licence_line_or_with_a_vague_name_is_refused(self):
        self.assertIn("SPDX", self.findings("tokamak/base/x.cpp", "int x;\n")[0])
        (self.root / "tokamak/base/x.cpp").unlink()
        self.assertIn("name the concept", self.findings("tokamak/base/string_utils.cpp", SPDX)[0])

    def test_a_long_file_only_warns(self):
        found = self.findings("tokamak/base/x.cpp", SPDX + "\n" * 700)
        self.assertIn("warning: 7", found[0])

    def test_an_unknown_module_is_named(self):
        self.assertIn("no module 'extras'", self.findings("tokamak/extras/x.cpp", SPDX)[0])

    def test_the_build_must_link_what_the_table_says(self):
        text = (ROOT / "CMakeLists.txt").read_text(encoding="utf-8")
        self.write("CMakeLists.txt", text.replace("tokamak_module(runtime MODULES kernels", "tokamak_module(runtime MODULES ir kernels"))
        self.assertIn("runtime links (ir kernels engine)", self.findings()[0])

    def test_the_table_itself_must_go_downwards(self):
        text = (ROOT / "docs/architecture.md").read_text(encoding="utf-8")
        self.write("docs/architecture.md", text.replace("ir (op)", "ir (passes)"))
        self.assertIn("ir (layer 3) may not rest on passes", self.findings()[0])


if __name__ == "__main__":
    unittest.main()
