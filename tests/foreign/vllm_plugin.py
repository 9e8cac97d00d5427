# SPDX-License-Identifier: Apache-2.0
"""Plugin of pytest for vLLM's tests of its server: what they import, where it is about the protocol, leads to our server.

`tests.utils` and a few names of vllm, torch and huggingface_hub are ours (vllm_stand_ins.py). Every other name of a package that
is not installed can be imported, and fails the test that calls it: that test is about their Python code, not about a protocol.
"""
import importlib.abc
import importlib.machinery
import os
import sys
import types

import pytest
import vllm_stand_ins

PACKAGES = ("vllm", "torch", "transformers", "huggingface_hub", "pybase64", "openai_harmony", "librosa", "soundfile", "websockets",
            "rapidfuzz", "lm_eval", "evaluate", "datasets", "schemathesis", "hypothesis")
MODULES_OF_THEIR_TESTS = ("tests.conftest", "tests.models")

test_is_running = False


class Absent(type):
    """The type of names that are not here."""

    def __getattr__(cls, name):
        if name.startswith("__"):
            raise AttributeError(name)
        return absent(f"{cls.__name__}.{name}")

    def __call__(cls, *_, **__):
        if test_is_running:
            pytest.fail(f"their own code: {cls.__name__}", pytrace=False)
        return cls  # while a test file is imported, for decorators and defaults


def absent(name):
    return Absent(name, (), {})


class AbsentModule(types.ModuleType):
    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        return absent(f"{self.__name__}.{name}")


class Finder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    def find_spec(self, name, path=None, target=None):
        del path, target
        if name.split(".")[0] in PACKAGES or name.startswith(MODULES_OF_THEIR_TESTS):
            return importlib.machinery.ModuleSpec(name, self, is_package=True)
        return None

    def create_module(self, spec):
        return AbsentModule(spec.name)

    def exec_module(self, module):
        for name, value in vllm_stand_ins.NAMES.get(module.__name__, {}).items():
            setattr(module, name, value)


sys.meta_path.insert(0, Finder())
sys.path.insert(0, os.environ["VLLM_SOURCE"])
for module_name, content in vllm_stand_ins.MODULES_OF_TESTS.items():
    sys.modules[module_name] = types.ModuleType(module_name)
    vars(sys.modules[module_name]).update(content)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol():
    global test_is_running
    test_is_running = True
    try:
        return (yield)
    finally:
        test_is_running = False
