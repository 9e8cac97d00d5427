#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Stands where llama.cpp's tests look for `llama-server`: becomes `tokamak serve` with what their command line asks for.

Their tests check a model's alias only where they read it back; elsewhere any name is answered. Ours answers the names that it
serves, so the plugin puts the names that a test asks for into FOREIGN_MODEL_NAMES.
"""
import argparse
import os
import sys

import served_model

# What a flag asks for that is not built here; the server does not start then, rather than do something else.
NOT_BUILT = {
    "embedding": "embeddings",
    "reranking": "reranking",
    "lora": "LoRA",
    "model_draft": "speculative decoding",
    "spec_type": "speculative decoding",
    "mmproj_url": "images",
    "media_path": "images",
    "models_dir": "several models in one server",
    "models_preset": "several models in one server",
    "tools": "tools that the server runs",
    "mcp_servers_config": "tools that the server runs",
    "mcp_servers_json": "tools that the server runs",
    "ui_mcp_proxy": "tools that the server runs",
    "slot_save_path": "saved slots",
    "sleep_idle_seconds": "sleeping",
}
# Settings of their engine, and templates, of which this program has its own.
VALUES_WITHOUT_EFFECT = (
    "--temp", "--seed", "--model", "--model-url", "--hf-repo", "--hf-file", "--batch-size", "--ubatch-size", "--threads",
    "--n-gpu-layers", "--pooling", "--tags", "-ctk", "-ctv", "-fa", "--n-predict", "--grp-attn-n", "--grp-attn-w",
    "--spec-draft-n-max", "--spec-draft-n-min", "--spec-synth-len", "--spec-synth-rates", "--reasoning-format", "--reasoning",
    "--chat-template", "--chat-template-file", "--cache-ram", "--tools-runtime", "--models-max")
FLAGS_WITHOUT_EFFECT = (
    "--offline", "--cont-batching", "--metrics", "--swa-full", "--slots", "--no-slots", "--verbose", "--context-shift",
    "--no-ui", "--jinja", "--no-jinja", "--no-mmproj", "--no-cache-idle-slots", "--backend_sampling", "--no-models-autoload")


def parser():
    out = argparse.ArgumentParser(prog="llama-server", allow_abbrev=False)
    out.add_argument("--host", default="127.0.0.1")
    out.add_argument("--port", default="8080")
    out.add_argument("--alias", default="")
    out.add_argument("--ctx-size", type=int, default=0)
    out.add_argument("--parallel", type=int, default=0)
    out.add_argument("--api-key")
    out.add_argument("--cors-origins")
    out.add_argument("--kv-unified", action="store_true")
    for name in NOT_BUILT:
        is_flag = name in ("embedding", "reranking", "ui_mcp_proxy")
        out.add_argument("--" + name.replace("_", "-"), **({"action": "store_true"} if is_flag else {}))
    for name in VALUES_WITHOUT_EFFECT:
        out.add_argument(name, dest="unused")
    for name in FLAGS_WITHOUT_EFFECT:
        out.add_argument(name, action="store_true", dest="unused_flag")
    return out


def command(asked):
    """The command line of `tokamak serve`, without the program."""
    out = ["serve", os.environ["FOREIGN_MODEL"], "--quiet", "--no-tune", "--host", asked.host, "--port", asked.port]
    for name in [*asked.alias.split(","), *os.environ.get("FOREIGN_MODEL_NAMES", "").split(",")]:
        out += ["--served-model-name", name] if name else []
    slots = max(asked.parallel, 1)
    if asked.ctx_size:
        # Their context is shared among the slots, unless it is one pool.
        length = asked.ctx_size if asked.kv_unified else asked.ctx_size // slots
        out += ["--max-seq-len", str(min(length, served_model.CONTEXT))]
    if asked.parallel:
        out += ["--max-sequences", str(slots)]
    if asked.cors_origins not in (None, "localhost"):  # pages of this machine always may
        out += ["--cors-origin", asked.cors_origins]
    if asked.api_key:
        out += ["--api-key", asked.api_key]
    return out


def main():
    asked = parser().parse_args()
    for name, feature in NOT_BUILT.items():
        if getattr(asked, name):
            sys.exit(f"llama_server: --{name.replace('_', '-')}: {feature}: not built")
    program = os.environ["FOREIGN_PROGRAM"]
    os.execv(program, [program, *command(asked)])


if __name__ == "__main__":
    main()
