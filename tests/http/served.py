# SPDX-License-Identifier: Apache-2.0
"""The built program as a server, for the time of a test."""
import re
import signal
import subprocess


class Server:
    """`tokamak serve` on a free port; made when it says that it is ready."""

    def __init__(self, program, model, *options, log=None):
        self.process = subprocess.Popen(
            [program, "serve", model, "--port", "0", "--quiet", "--no-tune", *options], stdout=subprocess.PIPE, stderr=log,
            text=True)
        self.told_to_stop = False
        ready = self.wait_for(r"ready: (\S+) at (https?://\S+)/v1")
        if ready is None:
            raise RuntimeError(f"the server ended with {self.process.wait()}")
        self.name, self.url = ready.groups()

    def wait_for(self, pattern):
        """Reads what the server prints until a line matches; None if it ends before."""
        for line in self.process.stdout:
            if found := re.match(pattern, line):
                return found
        return None

    def terminate(self):
        self.process.send_signal(signal.SIGTERM)
        self.told_to_stop = True

    def stop(self):
        """Sends SIGTERM, unless it was sent; the exit status."""
        if not self.told_to_stop:
            self.terminate()
        self.process.stdout.read()
        self.process.stdout.close()
        return self.process.wait(timeout=60)
