# SPDX-License-Identifier: Apache-2.0
"""What vLLM's server tests import, as far as they speak to a server with it: the server is ours, the tokenizer that of its model."""
import argparse
import json
import os
import pathlib
import socket
import sys
import types

import openai
import pytest
import tokenizers

import served_model
sys.path.append(str(pathlib.Path(__file__).resolve().parent.parent / "http"))
import served  # noqa: E402

MODEL = pathlib.Path(os.environ["FOREIGN_MODEL"])

# What a flag asks for that is not built here: the tests of such a server fail with its name.
NOT_BUILT = {
    "--uds": "Unix sockets",
    "--limit-mm-per-prompt": "images, audio and video",
    "--enable-mm-embeds": "images, audio and video",
    "--media-io-kwargs": "images, audio and video",
    "--default-mm-loras": "images, audio and video",
    "--enable-prompt-embeds": "prompts as embeddings",
    "--speculative-config": "speculative decoding",
    "--return-tokens-as-token-ids": "a setting of the server for return_tokens_as_token_ids",
    "--enable-force-include-usage": "a setting of the server for stream_options",
    "--tool-server": "responses API",
    "--middleware": "code of the user inside the server",
    "--runner": "images, audio and video",
}
# Settings of their engine, and of features whose own tests fail by themselves.
VALUES_WITHOUT_EFFECT = (
    "--dtype", "--seed", "--gpu-memory-utilization", "--lora-modules", "--max-lora-rank", "--max-cpu-loras", "--load-format",
    "--tool-call-parser", "--reasoning-parser", "--attention-backend", "--structured-outputs-config", "--tokenizer",
    "--max-logprobs", "--chat-template", "--api-server-count", "--data-parallel-size", "--default-chat-template-kwargs",
    "--model-impl", "--tokenizer-mode", "--config-format", "-tp")
FLAGS_WITHOUT_EFFECT = (
    "--enforce-eager", "--enable-lora", "--enable-auto-tool-choice", "--trust-remote-code", "--enable-chunked-prefill",
    "--no-enable-prefix-caching", "--enable-prompt-tokens-details", "--skip-tokenizer-init",
    "--exclude-tools-when-tool-choice-none")
OURS = {
    "--max-num-seqs": "--max-sequences",
    "--max-num-batched-tokens": "--max-step-tokens",
    "--api-key": "--api-key",
    "--shutdown-timeout": "--drain-timeout",
    "--root-path": "--root-path",
}


def spelled(word):
    """A flag as it is written in the tables above: vllm takes underscores for dashes, and parts of a setting behind a dot."""
    return word.split(".")[0].replace("_", "-") if word.startswith("--") else word


def serve_options(model, args, env):
    """The options of `tokamak serve` that do what those of `vllm serve` ask for."""
    for flag, feature in NOT_BUILT.items():
        if flag in args:
            pytest.fail(f"not built: {feature}", pytrace=False)
    parser = argparse.ArgumentParser(prog="vllm serve", allow_abbrev=False, exit_on_error=False)
    parser.add_argument("--max-model-len", type=int, default=served_model.CONTEXT)
    parser.add_argument("--port")  # ours is a free one
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--served-model-name", nargs="+", default=[model])
    for flag in OURS:
        parser.add_argument(flag, dest=flag)
    for flag in VALUES_WITHOUT_EFFECT:
        parser.add_argument(flag, dest="unused", nargs="+")
    for flag in FLAGS_WITHOUT_EFFECT:
        parser.add_argument(flag, action="store_true", dest="unused_flag")
    asked, unknown = parser.parse_known_args([spelled(word) for word in args])
    if unknown:
        pytest.fail(f"a flag that vllm_stand_ins.py does not know: {unknown[0]}", pytrace=False)
    out = ["--host", asked.host, "--kv-tokens", str(4 * served_model.CONTEXT)]
    out += ["--max-seq-len", str(min(asked.max_model_len, served_model.CONTEXT))]
    for name in asked.served_model_name:
        out += ["--served-model-name", name]
    for flag, ours in OURS.items():
        if value := getattr(asked, flag):
            out += [ours, value]
    if key := (env or {}).get("VLLM_API_KEY"):
        out += ["--api-key", key]
    return out


class RemoteOpenAIServer:
    """`tokamak serve` under the name and with the limits that a test asks of `vllm serve`."""
    DUMMY_API_KEY = "token-of-a-test"

    def __init__(self, model, vllm_serve_args, *, env_dict=None, auto_port=True, **_):
        del auto_port
        self.uds = None
        self.server = served.Server(os.environ["FOREIGN_PROGRAM"], str(MODEL), *serve_options(model, vllm_serve_args, env_dict))
        self.proc = self.server.process
        self.url_root = self.server.url
        self.host, self.port = self.url_root.removeprefix("http://").rsplit(":", 1)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.proc.poll() is None:
            self.server.stop()

    def url_for(self, *parts):
        return "/".join((self.url_root, *parts))

    def get_client(self, **kwargs):
        return openai.OpenAI(**self.client_options(kwargs))

    def get_async_client(self, **kwargs):
        return openai.AsyncOpenAI(**self.client_options(kwargs))

    def client_options(self, options):
        return {"base_url": self.url_for("v1"), "api_key": self.DUMMY_API_KEY, "max_retries": 0, "timeout": 600, **options}


class Tokenizer:
    """The part of transformers' tokenizers that the tests call."""

    def __init__(self):
        self.tokenizer = tokenizers.Tokenizer.from_file(str(MODEL / "tokenizer.json"))

    def encode(self, text):
        return self.tokenizer.encode(text).ids

    def decode(self, ids, skip_special_tokens=False):
        return self.tokenizer.decode(ids, skip_special_tokens=skip_special_tokens)


class ModelConfig:
    def __init__(self, *_, **__):
        pass

    def get_vocab_size(self):
        return json.loads((MODEL / "config.json").read_text())["vocab_size"]


class Platform:
    def __getattr__(self, name):
        return lambda *_: False  # is_rocm(), is_cuda() and their like


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


INT64 = types.SimpleNamespace(min=-(2**63), max=2**63 - 1)

NAMES = {
    "huggingface_hub": {"snapshot_download": lambda *_, **__: "no/adapter"},
    "torch": {"long": "int64", "iinfo": lambda _: INT64},
    "vllm.config": {"ModelConfig": ModelConfig},
    "vllm.model_executor.model_loader.weight_utils": {"download_weights_from_hf": lambda *_, **__: "a/model"},
    "vllm.platforms": {"current_platform": Platform()},
    "vllm.tokenizers": {"get_tokenizer": lambda *_, **__: Tokenizer()},
    "vllm.utils.network_utils": {"get_open_port": free_port},
}
MODULES_OF_TESTS = {
    "tests.utils": {
        "RemoteOpenAIServer": RemoteOpenAIServer,
        "ROCM_ENV_OVERRIDES": {},
        "ROCM_EXTRA_ARGS": [],
        "VLLM_PATH": pathlib.Path(os.environ["VLLM_SOURCE"]),
    },
    # How requests spread over several engines: there is one.
    "tests.v1.utils": {"check_request_balancing": lambda *_: None},
}
