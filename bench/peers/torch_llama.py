#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The peers of our GPU figures: transformers' generate, and a compiled Llama whose decode step is one CUDA graph.

    python bench/peers/torch_llama.py CONFIG_FOLDER --output peers.jsonl [--batches 1,8 --prompts 128,1024 --peers generate,compiled]

Weights are random, made on the device, and shared by both peers; tokens are random, choice is greedy, no token ends an answer. Each
case is a line of JSON, named as in `tokamak bench latency --json`; a case that is left out says why under "skipped".

generate: eager transformers, a static batch, its own dynamic cache. TPOT is the time of the tokens after the first.
compiled: what gpt-fast does. Projections are merged; the parts of a layer around attention are compiled by inductor, attention is
scaled_dot_product_attention over exactly the context's slice of a static cache (without a mask it takes the flash kernel that splits
the context); one decode step with its greedy choice is captured and replayed. TTFT is the same model, not compiled, without a graph.

Needs torch >= 2.5 and transformers >= 5, uses no network. On a machine without a GPU it runs on the CPU, without graphs.
"""

import argparse
import json
import os
import pathlib
import time

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import torch
import torch._dynamo
import torch._inductor.config
import torch.nn.functional as F
import transformers

WARM_UPS, REPLAYS = 3, 3


def sync(device):
    if device.type == "cuda":
        torch.cuda.synchronize()


def seconds(device, work):
    sync(device)
    begin = time.perf_counter()
    work()
    sync(device)
    return time.perf_counter() - begin


class Weights:
    """Merged as the compiled peer wants them; transformers gets views of the same bytes."""

    def __init__(self, config, device, dtype):
        hidden, mlp, vocab = config.hidden_size, config.intermediate_size, config.vocab_size
        self.heads = config.num_attention_heads
        self.kv_heads = getattr(config, "num_key_value_heads", None) or self.heads
        self.head_dim = getattr(config, "head_dim", None) or hidden // self.heads
        q_rows, kv_rows = self.heads * self.head_dim, self.kv_heads * self.head_dim
        generator = torch.Generator(device).manual_seed(7)

        def random(*shape):
            return torch.empty(shape, device=device, dtype=dtype).normal_(0, 0.02, generator=generator)

        def ones():
            return torch.ones(hidden, device=device, dtype=dtype)

        self.embedding, self.norm = random(vocab, hidden), ones()
        self.head = self.embedding if config.tie_word_embeddings else random(vocab, hidden)
        bias = getattr(config, "attention_bias", False) or config.model_type == "qwen2"
        self.layers, self.named = [], {"model.embed_tokens.weight": self.embedding, "model.norm.weight": self.norm}
        self.named["lm_head.weight"] = self.head
        for i in range(config.num_hidden_layers):
            layer = {"norm1": ones(), "qkv": random(q_rows + 2 * kv_rows, hidden), "o": random(hidden, q_rows)}
            layer |= {"norm2": ones(), "gate_up": random(2 * mlp, hidden), "down": random(hidden, mlp)}
            layer["bias"] = random(q_rows + 2 * kv_rows) if bias else None
            self.layers.append(layer)
            prefix, (gate, up) = f"model.layers.{i}.", layer["gate_up"].chunk(2)
            for part, rows in zip("qkv", layer["qkv"].split([q_rows, kv_rows, kv_rows])):
                self.named[prefix + f"self_attn.{part}_proj.weight"] = rows
            if bias:
                for part, rows in zip("qkv", layer["bias"].split([q_rows, kv_rows, kv_rows])):
                    self.named[prefix + f"self_attn.{part}_proj.bias"] = rows
            self.named |= {
                prefix + "self_attn.o_proj.weight": layer["o"],
                prefix + "input_layernorm.weight": layer["norm1"],
                prefix + "post_attention_layernorm.weight": layer["norm2"],
                prefix + "mlp.gate_proj.weight": gate,
                prefix + "mlp.up_proj.weight": up,
                prefix + "mlp.down_proj.weight": layer["down"],
            }


def transformers_model(config, weights, device, dtype):
    """A model on the meta device whose parameters become views of `weights`."""
    with torch.device("meta"):
        model = transformers.AutoModelForCausalLM.from_config(config, dtype=dtype, attn_implementation="sdpa")
    for name, parameter in list(model.named_parameters(remove_duplicate=False)):
        if name not in weights.named:
            raise SystemExit(f"torch_llama: {config.model_type} has '{name}', which a Llama has not; only its like is measured")
        if parameter.shape != weights.named[name].shape:
            raise SystemExit(f"torch_llama: '{name}' is {tuple(parameter.shape)}, not {tuple(weights.named[name].shape)}")
        owner, _, leaf = name.rpartition(".")
        setattr(model.get_submodule(owner), leaf, torch.nn.Parameter(weights.named[name], requires_grad=False))
    with torch.device(device):  # Its frequencies are computed, not loaded.
        model.model.rotary_emb = type(model.model.rotary_emb)(config)
    return model.eval()


class Generate:
    name = "transformers generate, eager"

    def __init__(self, config, weights, device, dtype, options):
        self.model, self.device, self.vocab = transformers_model(config, weights, device, dtype), device, config.vocab_size
        self.model.generation_config = transformers.GenerationConfig(do_sample=False, pad_token_id=0)

    def generate(self, prompt, count):
        self.model.generate(prompt, attention_mask=torch.ones_like(prompt), max_new_tokens=count, min_new_tokens=count)

    def measure(self, batch, input_len, output_len):
        prompt = torch.randint(self.vocab, (batch, input_len), device=self.device)
        self.generate(prompt[:, :16], 2)
        first = seconds(self.device, lambda: self.generate(prompt, 1))
        steps = min(output_len - 1, 16)
        all_of_them = seconds(self.device, lambda: self.generate(prompt, 1 + steps))
        return first, (all_of_them - first) / steps


def rms_norm(x, weight, eps):
    wide = x.float()
    return (wide * torch.rsqrt(wide.pow(2).mean(-1, keepdim=True) + eps)).to(x.dtype) * weight


def rotate(x, cos, sin):
    """x [batch, heads, tokens, head_dim], the halves of a head are its pairs."""
    first, second = x.chunk(2, -1)
    return x * cos + torch.cat((-second, first), -1) * sin


class Compiled:
    name = "torch.compile, CUDA graph"

    def __init__(self, config, weights, device, dtype, options):
        self.w, self.device, self.dtype, self.vocab = weights, device, dtype, config.vocab_size
        self.eps, self.options = config.rms_norm_eps, options
        rotary = transformers_model(config, weights, device, dtype).model.rotary_emb
        positions = torch.arange(max(options.prompts) + options.output_len, device=device)
        self.cos, self.sin = (t[0] for t in rotary(torch.zeros(1, device=device, dtype=dtype), positions[None]))
        self.functions, self.cache = {}, None

    def before(self, x, norm, qkv, bias, cos, sin, keys, values, positions):
        """The norm, the projections, rotation, and the cache's new rows; returns q."""
        w, (batch, tokens, _) = self.w, x.shape
        merged = F.linear(rms_norm(x, norm, self.eps), qkv, bias).view(batch, tokens, -1, w.head_dim).transpose(1, 2)
        q, k, v = merged.split([w.heads, w.kv_heads, w.kv_heads], 1)
        keys.index_copy_(2, positions, rotate(k, cos, sin))
        values.index_copy_(2, positions, v)
        return rotate(q, cos, sin)

    def after(self, x, attended, o, norm, gate_up, down):
        x = x + F.linear(attended, o)
        gate, up = F.linear(rms_norm(x, norm, self.eps), gate_up).chunk(2, -1)
        return x + F.linear(F.silu(gate) * up, down)

    def last(self, x):
        logits = F.linear(rms_norm(x[:, -1], self.w.norm, self.eps), self.w.head)
        return logits.float().argmax(-1, keepdim=True)

    def attend(self, q, keys, values):
        """Over all of keys: rows of a decode step see everything, those of a prompt what is before them."""
        w, (batch, _, tokens, _) = self.w, q.shape
        if tokens == 1:  # The query heads of a group are the rows of one head.
            q = q.reshape(batch, w.kv_heads, w.heads // w.kv_heads, w.head_dim)
            out = F.scaled_dot_product_attention(q, keys, values).reshape(batch, 1, -1)
            return out
        out = F.scaled_dot_product_attention(q, keys, values, is_causal=True, enable_gqa=w.heads != w.kv_heads)
        return out.transpose(1, 2).reshape(batch, tokens, -1)

    def forward(self, tokens, positions, length, cache, before, after, last):
        x = F.embedding(tokens, self.w.embedding)
        cos, sin = self.cos[positions], self.sin[positions]
        for layer, (keys, values) in zip(self.w.layers, cache):
            q = before(x, layer["norm1"], layer["qkv"], layer["bias"], cos, sin, keys, values, positions)
            attended = self.attend(q, keys[:, :, :length], values[:, :, :length])
            x = after(x, attended, layer["o"], layer["norm2"], layer["gate_up"], layer["down"])
        return last(x)

    def cache_for(self, batch):
        """Long enough for every prompt of this batch: with another shape `before` would be compiled again."""
        if self.cache is None or self.cache[0][0].shape[0] != batch:
            self.cache = None  # Freed first.
            prompts = [n for n in self.options.prompts if batch * n <= self.options.max_prompt_tokens]
            shape = (batch, self.w.kv_heads, (max(prompts) + self.options.output_len + 63) // 64 * 64, self.w.head_dim)
            make = lambda: torch.empty(shape, device=self.device, dtype=self.dtype).normal_()
            self.cache = [(make(), make()) for _ in self.w.layers]
        return self.cache

    def prefill(self, prompt, cache):
        """In parts of whole sequences, so that activations stay small."""
        batch, length = prompt.shape
        rows = max(1, self.options.max_step_tokens // length)
        positions = torch.arange(length, device=self.device)
        parts = []
        for i in range(0, batch, rows):
            part = [(k[i : i + rows], v[i : i + rows]) for k, v in cache]
            parts.append(self.forward(prompt[i : i + rows], positions, length, part, self.before, self.after, self.last))
        return torch.cat(parts)

    def compiled(self, batch):
        """Shapes do not change with the context, so that each batch is compiled once."""
        if batch not in self.functions:
            mode = self.options.compile_mode
            if mode == "auto":
                mode = "max-autotune-no-cudagraphs" if batch == 1 and self.device.type == "cuda" else "default"
            wrap = (lambda f: f) if mode == "none" else (lambda f: torch.compile(f, mode=mode, dynamic=False))
            self.functions[batch] = [wrap(f) for f in (self.before, self.after, self.last)]
        return self.functions[batch]

    def decode_step(self, batch, input_len, cache):
        """A function that runs one step at a context of `input_len` tokens, with the token that the last one chose."""
        tokens = torch.zeros((batch, 1), dtype=torch.long, device=self.device)
        positions = torch.tensor([input_len], device=self.device)
        functions = self.compiled(batch)

        def step():
            tokens.copy_(self.forward(tokens, positions, input_len + 1, cache, *functions))

        if self.device.type != "cuda":
            step()
            return step
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            for _ in range(WARM_UPS):
                step()
        torch.cuda.current_stream().wait_stream(side)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            step()
        return graph.replay

    def measure(self, batch, input_len, output_len):
        cache = self.cache_for(batch)
        prompt = torch.randint(self.vocab, (batch, input_len), device=self.device)
        self.prefill(prompt[:1, :16], [(k[:1], v[:1]) for k, v in cache])
        if batch * input_len <= 1 << 16:
            self.prefill(prompt, cache)
        first = seconds(self.device, lambda: self.prefill(prompt, cache))
        step = self.decode_step(batch, input_len, cache)
        step()
        times = [seconds(self.device, lambda: [step() for _ in range(output_len)]) / output_len for _ in range(REPLAYS)]
        return first, min(times)


PEERS = {"generate": Generate, "compiled": Compiled}


def measure_case(peer, batch, input_len, options):
    if batch * input_len > options.max_prompt_tokens:
        return {"skipped": f"{batch} x {input_len} tokens are more than --max-prompt-tokens {options.max_prompt_tokens}"}
    begin = time.monotonic()
    if begin - peer.begin > peer.budget_seconds:
        return {"skipped": f"the {peer.budget_seconds:g} seconds of this peer are used up"}
    try:
        with torch.inference_mode():
            first, step = peer.measure(batch, input_len, options.output_len)
    except torch.OutOfMemoryError:
        return {"skipped": "out of memory"}
    return {
        "ttft_ms": first * 1e3,
        "tpot_ms": step * 1e3,
        "prefill_tokens_per_second": batch * input_len / first,
        "decode_tokens_per_second": batch / step,
        "case_seconds": time.monotonic() - begin,
    }


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    numbers = lambda text: [int(part) for part in text.split(",")]
    parser.add_argument("config", type=pathlib.Path, help="folder with a config.json of a Llama or its like")
    parser.add_argument("--output", type=pathlib.Path, required=True, help="file that the lines of JSON go to")
    parser.add_argument("--peers", default="compiled,generate", help="which, in this order")
    parser.add_argument("--batches", type=numbers, default=[1, 8, 16, 64])
    parser.add_argument("--prompts", type=numbers, default=[128, 1024, 8000])
    parser.add_argument("--output-len", type=int, default=32)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--dtype", default="bfloat16", choices=["bfloat16", "float32"])
    parser.add_argument("--compile-mode", default="auto", help="of torch.compile, or none; auto: autotuned for batch 1 alone")
    parser.add_argument("--max-step-tokens", type=int, default=16384, help="rows that the compiled peer's prompts take at once")
    parser.add_argument("--max-prompt-tokens", type=int, default=131072, help="larger cases are left out")
    parser.add_argument("--budget-seconds", type=float, default=150, help="of the compiled peer: no case begins after so many")
    parser.add_argument("--generate-seconds", type=float, default=90, help="the same of generate, which has a time of its own")
    options = parser.parse_args()
    for name in options.peers.split(","):
        if name not in PEERS:
            parser.error(f"--peers: '{name}' is not one of {', '.join(PEERS)}")
    if options.output_len < 2:
        parser.error(f"--output-len is {options.output_len}, must be at least 2")
    return options


def main():
    options = arguments()
    device, dtype = torch.device(options.device), getattr(torch, options.dtype)
    torch._dynamo.config.recompile_limit = 64  # A peer that silently runs eager would be none.
    torch._inductor.config.coordinate_descent_tuning = device.type == "cuda"
    config = transformers.AutoConfig.from_pretrained(options.config, local_files_only=True)
    weights = Weights(config, device, dtype)
    about = {
        "model": options.config.resolve().name,
        "dtype": options.dtype,
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu",
        "torch": torch.__version__,
        "transformers": transformers.__version__,
    }
    options.output.parent.mkdir(parents=True, exist_ok=True)
    with options.output.open("w") as output:
        for name in options.peers.split(","):
            peer = PEERS[name](config, weights, device, dtype, options)
            peer.begin = time.monotonic()
            peer.budget_seconds = options.generate_seconds if name == "generate" else options.budget_seconds
            for batch in options.batches:
                for input_len in options.prompts:
                    case = {"batch": batch, "input_len": input_len, "output_len": options.output_len}
                    line = {"peer": peer.name} | about | case | measure_case(peer, batch, input_len, options)
                    output.write(json.dumps(line) + "\n")
                    output.flush()
                    print(json.dumps(line), flush=True)
            del peer
            if device.type == "cuda":
                torch.cuda.empty_cache()


if __name__ == "__main__":
    main()
