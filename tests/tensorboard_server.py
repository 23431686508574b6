"""TensorBoard itself, on any free port."""

import contextlib
import re
import subprocess
import sys


@contextlib.contextmanager
def serve_tensorboard(logdir):
    """Its address, until the context ends."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tensorboard.main", f"--logdir={logdir}", "--port=0"],
        stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        for line in process.stderr:
            if found := re.search(r"http://localhost:\d+/", line):
                yield found.group()
                return
        raise RuntimeError("TensorBoard did not start")
    finally:
        process.kill()
        process.wait()
        process.stderr.close()
