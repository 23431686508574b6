"""The commands as a user starts them: real processes, from the top of the checkout."""

import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).parent.parent


def command(module, *arguments):
    """What starts `python -m module`."""
    return [sys.executable, "-m", module, *map(str, arguments)]


def run(module, *arguments):
    """Runs `python -m module` to its end; its output is text in `stdout` and `stderr`."""
    return subprocess.run(
        command(module, *arguments), cwd=ROOT, capture_output=True, text=True, timeout=300
    )
