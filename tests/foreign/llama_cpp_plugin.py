# SPDX-License-Identifier: Apache-2.0
"""Plugin of pytest for llama.cpp's server tests: no download of their models, and the model names that a test asks for."""
import inspect
import os
import re


def pytest_collection_finish(session):
    import utils  # theirs, known once their conftest.py is loaded
    utils.ServerPreset.load_all = staticmethod(lambda: None)


def pytest_runtest_setup(item):
    names = set(re.findall(r'\bmodel="([^"]+)"', inspect.getsource(item.function)))
    if asked := item.callspec.params.get("model") if hasattr(item, "callspec") else None:
        names.add(asked)
    os.environ["FOREIGN_MODEL_NAMES"] = ",".join(sorted(names))
