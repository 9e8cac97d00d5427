# SPDX-License-Identifier: Apache-2.0
"""The model that the foreign tests are given: the weights that ship, in a folder with what those tests take for granted.

Their prompts are longer than Storyteller's 1024 tokens, and their chats have roles that its template refuses. What the model says
beyond its context is worth nothing, which no protocol test minds. Their models end an answer soon when no length is asked for.
"""
import json
import pathlib

CONTEXT = 8192
ANSWER = 64
TEMPLATE = (
    "{%- for message in messages -%}{{- '<|user|>' + message['role'] + ': ' -}}"
    "{%- if message['content'] is string -%}{{- message['content'] -}}{%- else -%}"
    "{%- for part in message['content'] or [] -%}{{- part['text'] -}}{%- endfor -%}{%- endif -%}{{- '<|end|>' -}}"
    "{%- endfor -%}{%- if add_generation_prompt -%}{{- '<|assistant|>' -}}{%- endif -%}")


def make(shipped, folder):
    """Links the files of `shipped` into `folder`, and writes the two that differ."""
    shipped, folder = pathlib.Path(shipped).resolve(), pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("model.safetensors", "tokenizer.json"):
        link = folder / name
        link.unlink(missing_ok=True)
        link.symlink_to(shipped / name)
    for name, key, value in (("config.json", "max_position_embeddings", CONTEXT),
                             ("generation_config.json", "max_new_tokens", ANSWER),
                             ("tokenizer_config.json", "chat_template", TEMPLATE)):
        (folder / name).write_text(json.dumps({**json.loads((shipped / name).read_text()), key: value}, indent=2))
    return folder
