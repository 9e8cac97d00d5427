#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Public clients against the built program: clients_test.py PROGRAM MODEL"""
import json
import os
import pathlib
import signal
import ssl
import subprocess
import sys
import socket
import tempfile
import time
import unittest
import urllib.request

import numpy
import openai
import tritonclient.http as triton

import choice_task
from served import Server

PROGRAM, MODEL = sys.argv[1], sys.argv[2]
KEY = "test-key"


class OpenAi(unittest.TestCase):
    def setUp(self):
        self.client = openai.OpenAI(base_url=server.url + "/v1", api_key=KEY, max_retries=0)

    def test_models(self):
        self.assertEqual([model.id for model in self.client.models.list()], [server.name])
        self.assertEqual(self.client.models.retrieve(server.name).owned_by, "tokamak")

    def test_completion_is_the_same_whole_and_streamed(self):
        asked = dict(model=server.name, prompt="Once upon a time", max_tokens=24, temperature=0)
        whole = self.client.completions.create(**asked)
        chunks = list(self.client.completions.create(
            **asked, stream=True, stream_options={"include_usage": True}))
        text = "".join(choice.text for chunk in chunks for choice in chunk.choices)
        self.assertEqual(text, whole.choices[0].text)
        self.assertEqual(whole.usage.completion_tokens, 24)
        self.assertEqual(chunks[-1].usage.completion_tokens, 24)
        self.assertEqual(chunks[-2].choices[0].finish_reason, "length")

    def test_chat_is_the_same_whole_and_streamed(self):
        asked = dict(model=server.name, max_tokens=24, temperature=0,
                     messages=[{"role": "user", "content": "Tell me a story about a dog."}])
        whole = self.client.chat.completions.create(**asked)
        chunks = list(self.client.chat.completions.create(**asked, stream=True))
        self.assertEqual(chunks[0].choices[0].delta.role, "assistant")
        text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks)
        self.assertEqual(text, whole.choices[0].message.content)

    def test_chat_logprobs_spell_the_text(self):
        whole = self.client.chat.completions.create(
            model=server.name, max_tokens=8, seed=3, logprobs=True, top_logprobs=4,
            messages=[{"role": "user", "content": "Hello"}])
        tokens = whole.choices[0].logprobs.content
        self.assertEqual("".join(token.token for token in tokens), whole.choices[0].message.content)
        for token in tokens:
            self.assertEqual(len(token.top_logprobs), 4)
            self.assertLessEqual(token.logprob, token.top_logprobs[0].logprob + 1e-6)

    def test_seeds_fix_answers_and_n_gives_several(self):
        asked = dict(model=server.name, prompt="The cat", max_tokens=12, seed=11, n=3)
        first = [choice.text for choice in self.client.completions.create(**asked).choices]
        again = [choice.text for choice in self.client.completions.create(**asked).choices]
        self.assertEqual(first, again)
        self.assertEqual(len(set(first)), 3)

    def test_a_prefix_is_taken_from_the_cache(self):
        prompt = "Once there was a small boat. " * 30
        usage = [self.client.completions.create(model=server.name, prompt=prompt, max_tokens=1).usage
                 for _ in range(2)]
        self.assertGreater(usage[1].prompt_tokens_details.cached_tokens, 64)

    def test_errors_become_the_clients_own(self):
        with self.assertRaises(openai.NotFoundError):
            self.client.completions.create(model="other", prompt="a")
        with self.assertRaises(openai.BadRequestError) as caught:
            self.client.completions.create(model=server.name, prompt="a", temperature=200)
        self.assertEqual(caught.exception.param, "temperature")
        with self.assertRaises(openai.BadRequestError) as caught:
            self.client.chat.completions.create(
                model=server.name, messages=[{"role": "user", "content": "a"}],
                response_format={"type": "json_object"})
        self.assertEqual(caught.exception.param, "response_format")
        with self.assertRaises(openai.BadRequestError) as caught:
            self.client.chat.completions.create(
                model=server.name, messages=[{"role": "user", "content": "dog " * 2000}])
        self.assertEqual((caught.exception.code, caught.exception.param), ("context_length_exceeded", "messages"))
        # The words by which LiteLLM knows it.
        self.assertIn("This model's maximum context length is", str(caught.exception))
        with self.assertRaises(openai.AuthenticationError):
            self.client.with_options(api_key="wrong").models.list()

    @unittest.skipUnless(choice_task.task_file().exists(), f"no {choice_task.task_file()}")
    def test_a_multiple_choice_task_has_the_score_that_transformers_gives(self):
        """What lm-evaluation-harness's local-completions asks for: ids, echo, logprobs, one token more."""
        theirs = json.loads(choice_task.SCORES.read_text(encoding="utf-8"))
        ours = []
        for context, choices, _ in choice_task.questions():
            skipped = len(self.ids(context))
            prompts = [self.ids(context + choice) for choice in choices]
            answer = self.client.completions.create(
                model=server.name, prompt=prompts, max_tokens=1, temperature=0, logprobs=1, echo=True)
            self.assertEqual([choice.index for choice in answer.choices], list(range(len(choices))))
            scored = [choice.logprobs.token_logprobs for choice in answer.choices]
            self.assertEqual([len(logprobs) for logprobs in scored], [len(ids) + 1 for ids in prompts])
            ours.append([sum(logprobs[skipped:-1]) for logprobs in scored])
        for mine, expected in zip(ours, theirs["loglikelihoods"], strict=True):
            for a, b in zip(mine, expected, strict=True):
                self.assertAlmostEqual(a, b, delta=0.02)
        self.assertEqual(choice_task.accuracy(ours), theirs["accuracy"])

    def ids(self, text):
        body = json.dumps({"prompt": text}).encode()
        request = urllib.request.Request(
            server.url + "/tokenize", body, {"Content-Type": "application/json", "Authorization": "Bearer " + KEY})
        with urllib.request.urlopen(request, timeout=20) as answer:
            return json.load(answer)["tokens"]


class Triton(unittest.TestCase):
    def setUp(self):
        self.client = triton.InferenceServerClient(url=server.url.removeprefix("http://"))
        # The client writes into the headers of a call, so each call gets its own.
        self.headers = {"Authorization": "Bearer " + KEY}

    def test_health_and_metadata(self):
        self.assertTrue(self.client.is_server_live())
        self.assertTrue(self.client.is_server_ready())
        self.assertTrue(self.client.is_model_ready(server.name, headers=dict(self.headers)))
        self.assertEqual(self.client.get_server_metadata(headers=dict(self.headers))["name"], "tokamak")
        metadata = self.client.get_model_metadata(server.name, headers=dict(self.headers))
        self.assertEqual(metadata["outputs"][0]["name"], "text_output")

    def test_configuration_statistics_and_index(self):
        def ask(call, *arguments):
            return call(*arguments, headers=dict(self.headers))
        self.assertEqual(ask(self.client.get_model_config, server.name)["input"][0]["name"], "text_input")
        self.infer(binary=True)
        for name in (server.name, ""):
            stats = ask(self.client.get_inference_statistics, name)["model_stats"][0]
            self.assertGreater(stats["inference_stats"]["success"]["count"], 0)
        self.assertEqual([model["name"] for model in ask(self.client.get_model_repository_index)], [server.name])

    def infer(self, binary):
        text = triton.InferInput("text_input", [2], "BYTES")
        text.set_data_from_numpy(numpy.array([b"Once upon a time", b"The dog"], dtype=object), binary_data=binary)
        tokens = triton.InferInput("max_tokens", [1], "INT32")
        tokens.set_data_from_numpy(numpy.array([8], dtype=numpy.int32), binary_data=binary)
        heat = triton.InferInput("temperature", [1], "FP32")
        heat.set_data_from_numpy(numpy.array([0], dtype=numpy.float32), binary_data=binary)
        output = triton.InferRequestedOutput("text_output", binary_data=binary)
        result = self.client.infer(server.name, [text, tokens, heat], outputs=[output], headers=dict(self.headers))
        return [bytes(item) if isinstance(item, bytes) else item.encode() for item in result.as_numpy("text_output")]

    def test_infers_alike_in_json_and_in_binary(self):
        texts = self.infer(binary=True)
        self.assertEqual(texts, self.infer(binary=False))
        openai_client = openai.OpenAI(base_url=server.url + "/v1", api_key=KEY)
        answer = openai_client.completions.create(
            model=server.name, prompt="Once upon a time", max_tokens=8, temperature=0)
        self.assertEqual(texts[0].decode(), answer.choices[0].text)

    def test_errors_become_the_clients_own(self):
        with self.assertRaises(triton.InferenceServerException):
            self.client.get_model_metadata("other", headers=dict(self.headers))


class Life(unittest.TestCase):
    def serve(self, *options, log=None):
        own = Server(PROGRAM, MODEL, *options, log=log)
        self.addCleanup(own.process.kill)
        return own, openai.OpenAI(base_url=own.url + "/v1", api_key="none", max_retries=0)

    def long_answer(self, own):
        """A raw connection on which an answer has begun that takes seconds."""
        body = json.dumps({"prompt": "Once", "max_tokens": 450, "ignore_eos": True, "n": 16, "stream": True,
                           "logprobs": 20})
        client = socket.create_connection(own.url.removeprefix("http://").split(":"), timeout=60)
        self.addCleanup(client.close)
        client.sendall(f"POST /v1/completions HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
                       f"Content-Length: {len(body)}\r\n\r\n{body}".encode())
        self.assertTrue(client.recv(100).startswith(b"HTTP/1.1 200 "))
        return client

    def rest_of(self, client, until=None):
        """What still comes until the server closes the connection, or until that; its end."""
        end = b""
        try:
            while piece := client.recv(1 << 16):
                end = (end + piece)[-64:]
                if until and end.endswith(until):
                    break
        except ConnectionResetError:
            pass
        return end

    def expect_cut_off(self, own, answer, seconds):
        """One more signal ends the server within `seconds`, before the answer is whole."""
        begin = time.monotonic()
        own.terminate()
        self.assertIsNotNone(own.wait_for("stopped with answers cut off"))
        self.assertEqual(own.stop(), 1)
        self.assertLess(time.monotonic() - begin, seconds)
        self.assertTrue(self.rest_of(answer).endswith(b'"unavailable"}}\n\ndata: [DONE]\n\n\r\n0\r\n\r\n'))

    def test_sigterm_lets_a_stream_end_and_refuses_what_comes_later(self):
        own, client = self.serve("--drain-timeout", "300")
        answer = self.long_answer(own)
        own.terminate()
        self.assertIsNotNone(own.wait_for("draining for up to 300 s"))
        with self.assertRaises(openai.InternalServerError) as caught:
            client.completions.create(model=own.name, prompt="Once", max_tokens=4)
        self.assertEqual(caught.exception.status_code, 503)
        self.assertEqual(caught.exception.body, {
            "message": "the server is shutting down", "type": "service_unavailable_error", "param": None,
            "code": "unavailable"})
        end = self.rest_of(answer)
        self.assertTrue(end.endswith(b"data: [DONE]\n\n\r\n0\r\n\r\n"), end)
        self.assertEqual(own.stop(), 0)

    def test_a_second_sigterm_ends_it_at_once(self):
        own, _ = self.serve("--drain-timeout", "600")
        answer = self.long_answer(own)
        own.terminate()
        self.assertIsNotNone(own.wait_for("draining for up to 600 s"))
        self.expect_cut_off(own, answer, seconds=2)

    def test_the_drain_timeout_ends_it_too(self):
        own, _ = self.serve("--drain-timeout", "0.2")
        answer = self.long_answer(own)
        self.expect_cut_off(own, answer, seconds=3)

    def test_signals_that_nobody_means_to_end_it_do_not(self):
        own, _ = self.serve()
        answer = self.long_answer(own)
        for number in (signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2, signal.SIGALRM, signal.SIGPIPE):
            own.process.send_signal(number)
        self.assertTrue(self.rest_of(answer, until=b"0\r\n\r\n").endswith(b"data: [DONE]\n\n\r\n0\r\n\r\n"))
        self.assertEqual(own.stop(), 0)

    def test_sighup_reads_keys_anew(self):
        with tempfile.TemporaryDirectory() as folder:
            keys = pathlib.Path(folder, "keys")
            keys.write_text("old\nkept\n")
            log = pathlib.Path(folder, "log")
            with log.open("w") as file:
                own, client = self.serve("--api-key-file", str(keys), log=file)
            keys.write_text("kept\nnew\n")
            own.process.send_signal(signal.SIGHUP)
            self.assertIsNotNone(own.wait_for("read keys and certificates anew: 2 keys"))
            with self.assertRaises(openai.AuthenticationError):
                client.with_options(api_key="old").models.list()
            for key in ("kept", "new"):
                self.assertEqual([m.id for m in client.with_options(api_key=key).models.list()], [own.name])
            keys.write_text("# none\n")
            own.process.send_signal(signal.SIGHUP)
            end = time.monotonic() + 20
            while "holds no key" not in log.read_text() and time.monotonic() < end:
                time.sleep(0.01)
            self.assertRegex(log.read_text(), "warn.* keys and certificates stay: .* holds no key")
            self.assertEqual([m.id for m in client.with_options(api_key="new").models.list()], [own.name])
            self.assertEqual(own.stop(), 0)

    def certificate(self, folder, name):
        """The files of a new certificate and its key."""
        certificate, key = os.path.join(folder, "c.pem"), os.path.join(folder, "k.pem")
        subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", key, "-out",
                        certificate, "-days", "2", "-subj", "/CN=" + name, "-addext",
                        "subjectAltName=IP:127.0.0.1"], check=True, capture_output=True)
        return certificate, key

    def test_sighup_reads_certificates_anew(self):
        with tempfile.TemporaryDirectory() as folder:
            certificate, key = self.certificate(folder, "first")
            own, _ = self.serve("--tls-certificate", certificate, "--tls-key", key)
            self.certificate(folder, "second")
            own.process.send_signal(signal.SIGHUP)
            self.assertIsNotNone(own.wait_for("read keys and certificates anew"))
            context = ssl.create_default_context(cafile=certificate)
            with urllib.request.urlopen(own.url + "/health", context=context, timeout=20) as answer:
                self.assertEqual(answer.status, 200)
            self.assertEqual(own.stop(), 0)

    def test_tls(self):
        with tempfile.TemporaryDirectory() as folder:
            certificate, key = self.certificate(folder, "localhost")
            own, _ = self.serve("--tls-certificate", certificate, "--tls-key", key)
            context = ssl.create_default_context(cafile=certificate)
            with urllib.request.urlopen(own.url + "/health", context=context, timeout=20) as answer:
                self.assertEqual(answer.status, 200)
            body = json.dumps({"prompt": "a", "max_tokens": 200, "stream": True}).encode()
            request = urllib.request.Request(own.url + "/v1/completions", body, {"Content-Type": "application/json"})
            with urllib.request.urlopen(request, context=context, timeout=60) as answer:
                self.assertTrue(answer.read().endswith(b"data: [DONE]\n\n"))
            self.assertEqual(own.stop(), 0)


if __name__ == "__main__":
    server = Server(PROGRAM, MODEL, "--api-key", KEY, "--dtype", "float32")
    result = unittest.main(argv=sys.argv[:1], exit=False, verbosity=2).result
    status = server.stop()
    if status != 0:
        print(f"the server ended with {status}")
    sys.exit(0 if result.wasSuccessful() and status == 0 else 1)
