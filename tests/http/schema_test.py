#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What /openapi.json describes, asked for at random by schemathesis: schema_test.py PROGRAM MODEL"""
import pathlib
import subprocess
import sys
import tempfile

from served import Server

KEY = "test-key"
# A request that the description allows may still be refused (ids beyond the vocabulary, prompts that are too long), and one that
# it does not allow may be taken (unknown fields are counted): what must hold is that no request breaks the server, and that every
# refusal has the shape that is described.
CHECKS = "not_a_server_error,response_schema_conformance,unsupported_method,allow_header_conformance"

if __name__ == "__main__":
    program, model = sys.argv[1:3]
    # Short answers, few of them: what is tried is the reading of requests.
    server = Server(program, model, "--api-key", KEY, "--max-seq-len", "64", "--max-choices", "4")
    with tempfile.TemporaryDirectory() as folder:  # Of what it keeps for a next run.
        run = subprocess.run(
            [pathlib.Path(sys.executable).absolute().parent / "schemathesis", "run", server.url + "/openapi.json", "--checks",
             CHECKS, "--header", f"Authorization:Bearer {KEY}", "--phases", "examples,coverage,fuzzing", "--max-examples",
             "10", "--seed", "7", "--continue-on-failure", "--request-timeout", "60", "--warnings", "off", "--no-color"],
            cwd=folder, check=False)
    status = server.stop()
    if status != 0:
        print(f"the server ended with {status}")
    sys.exit(0 if run.returncode == 0 and status == 0 else 1)
