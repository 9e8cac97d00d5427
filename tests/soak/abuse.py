# SPDX-License-Identifier: Apache-2.0
"""Hostile clients for soak.py: each attack is one thing that a client can send, and that once made others wait.

An attack returns the status that it got, or None where it went away without one. What it gets is its own affair (an
answer, a refusal, a closed connection), but 500 is the server's fault.
"""

import http.client
import json
import random
import socket
import threading
import time

MEGABYTE = 1 << 20


def post(port, path, body, timeout=60, headers=()):
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    client = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout)
    try:
        client.request("POST", path, data, {"Content-Type": "application/json", **dict(headers)})
        answer = client.getresponse()
        answer.read()
        return answer.status
    finally:
        client.close()


def complete(port, **fields):
    return post(port, "/v1/completions", {"max_tokens": 1, **fields})


def leave(port, head, seconds):
    """Sends bytes, waits a little and goes away."""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as client:
        client.sendall(head)
        time.sleep(seconds)


def head_of(length):
    return (f"POST /v1/completions HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
            f"Content-Length: {length}\r\n\r\n").encode()


def many_objects(port):
    return complete(port, prompt="a", metadata=[{}] * 300_000)


def deep_objects(port):
    return post(port, "/v1/completions", b'{"prompt":' + b"[" * 100_000 + b"]" * 100_000 + b"}")


def many_bad_words(port):
    return complete(port, prompt="a", bad_words=[f"word {i}" for i in range(20_000)])


def long_prompt(port):
    return complete(port, prompt="once upon a time " * 200_000)


def echo_of_a_long_prompt(port):
    return complete(port, prompt="dog " * 500_000, truncate_prompt_tokens=1, echo=True, n=64)


def long_stop_text(port):
    return complete(port, prompt="a", stop="x" * (2 * MEGABYTE), n=32)


def many_choices(port):
    """Queues much and goes away before the end."""
    body = json.dumps({"prompt": ["once"] * 256, "max_tokens": 200}).encode()
    leave(port, head_of(len(body)) + body, 2)


def first_of_all(port):
    return complete(port, prompt="a", priority=-100, max_tokens=100)


def body_of_a_gone_client(port):
    body = json.dumps({"prompt": "x " * (2 * MEGABYTE), "max_tokens": 1}).encode()
    leave(port, head_of(len(body)) + body, 0)


def half_a_body(port):
    leave(port, head_of(8 * MEGABYTE) + b" " * (4 * MEGABYTE), 2)


def half_a_head(port):
    leave(port, b"POST /v1/completions HTTP/1.1\r\nHost: 127.0.0.1\r\n", 2)


def smuggled_request(port):
    leave(port, b"POST /v1/completions HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n"
          b"GET /health HTTP/1.1\r\nHost: a\r\n\r\n", 0.2)


def no_instances(port):
    return post(port, "/v1/models/storyteller:predict", {"instances": []})


def stream_that_is_not_read(port):
    body = json.dumps({"prompt": "once", "max_tokens": 200, "n": 8, "stream": True}).encode()
    leave(port, head_of(len(body)) + body, 2)


ATTACKS = [many_objects, deep_objects, many_bad_words, long_prompt, echo_of_a_long_prompt, long_stop_text, many_choices,
           first_of_all, body_of_a_gone_client, half_a_body, half_a_head, smuggled_request, no_instances,
           stream_that_is_not_read]


class Abuse:
    """Plays attacks until it is stopped: `clients` of them at a time, each with a pause between two."""

    def __init__(self, port, clients=4, pause=0.25):
        self.port, self.pause = port, pause
        self.counts = {attack.__name__: 0 for attack in ATTACKS}
        self.faults = []
        self.ended = threading.Event()
        self.threads = [threading.Thread(target=self.play, args=(seed,)) for seed in range(clients)]

    def play(self, seed):
        order = random.Random(seed)
        while not self.ended.is_set():
            for attack in order.sample(ATTACKS, len(ATTACKS)):
                if self.ended.wait(self.pause):
                    return
                self.counts[attack.__name__] += 1
                try:
                    if attack(self.port) == 500:
                        self.faults.append(f"{attack.__name__} got 500")
                except TimeoutError:
                    self.faults.append(f"{attack.__name__} got no answer")
                except (OSError, http.client.HTTPException):
                    pass  # Refused by a closed connection.

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.ended.set()
        for thread in self.threads:
            thread.join()
