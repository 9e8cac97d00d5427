# SPDX-License-Identifier: Apache-2.0
"""Plugin of pytest for llama.cpp's server tests: no download of their models, and the model names that a test asks for."""
import inspect
import os
import re


def pytest_collection_finish(session):
    import utils  # theirs, known once their conftest.py is loaded
    utils.ServerPreset.load_all = staticmethod(lambda: None)


def pytest_runtest_setup(item):
    names = re.findall(r'\bmodel="([^"]+)"|\("(\w+)", "You are', inspect.getsource(item.function))
    names += [(value,) for value in getattr(item, "callspec", None) and [item.callspec.params.get("model")] or [] if value]
    os.environ["FOREIGN_MODEL_NAMES"] = ",".join(sorted({name for found in names for name in found if name}))
