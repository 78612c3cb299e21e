"""Processes to kill: forked from one that has imported everything, so that a kill costs little."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time

import pytest

SERVER = """
import json, os, runpy, sys
module = runpy.run_path(sys.argv[1])
for line in sys.stdin:
    pid = os.fork()
    if pid == 0:
        module["write_for_ever"](*json.loads(line))
    # One write per line: victim and server share the pipe, and their lines must not mix.
    os.write(1, f"pid {pid}\\n".encode())
    os.waitpid(pid, 0)
    os.write(1, b"\\ndead\\n")  # the victim's last line may have been cut off
"""


class Victims:
    """Runs ``write_for_ever(*arguments)`` of a module, which prints a number after each step."""

    def __init__(self, module):
        self._server = subprocess.Popen(
            [sys.executable, "-c", SERVER, module],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            # Unbuffered, a print is two writes, and lines of victim and server mix.
            env={k: v for k, v in os.environ.items() if k != "PYTHONUNBUFFERED"},
        )
        self.pid = 0

    def start(self, *arguments):
        """Return the first number a new victim prints."""
        assert self._server.stdin is not None
        self._server.stdin.write(json.dumps(arguments) + "\n")
        self._server.stdin.flush()
        first, self.pid = None, 0
        while first is None or not self.pid:
            word, _, rest = self._line().partition(" ")
            if word == "pid":
                self.pid = int(rest)
            elif word and first is None:
                first = int(word)
        return first

    def kill(self, after=0.0):
        """Kill the victim; return the numbers it had printed since `start`."""
        time.sleep(after)
        os.kill(self.pid, signal.SIGKILL)
        return [int(line) for line in iter(self._line, "dead") if line]

    def close(self):
        # A victim that outlives its server would hold the pipe open.
        if self.pid:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)
        self._server.kill()
        self._server.communicate()

    def _line(self):
        assert self._server.stdout is not None
        line = self._server.stdout.readline()
        assert line, "the process ended by itself"
        return line.strip()


@pytest.fixture(scope="module")
def victims(request):
    server = Victims(request.module.__file__)
    yield server
    server.close()
