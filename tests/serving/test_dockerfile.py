"""The Dockerfile, read as Docker reads it; Docker itself is not needed."""

import json
import re
import shlex
import subprocess
import sys

import pytest

from tests.commands import ROOT

KNOWN = {"FROM", "COPY", "RUN", "USER", "WORKDIR", "EXPOSE", "HEALTHCHECK", "ENTRYPOINT"}


@pytest.fixture(scope="module")
def instructions():
    """Instruction to its arguments, one for each time that it comes."""
    text = re.sub(r"^#.*\n", "", (ROOT / "Dockerfile").read_text(), flags=re.MULTILINE)
    found = {}
    for line in text.replace("\\\n", " ").splitlines():
        name, _, arguments = line.partition(" ")
        found.setdefault(name, []).append(arguments.strip())
    return found


def test_it_installs_and_serves_the_package(instructions):
    assert set(instructions) == KNOWN and next(iter(instructions)) == "FROM"
    copied = [source for each in instructions["COPY"] for source in shlex.split(each)[:-1]]
    assert all((ROOT / source).exists() for source in copied)
    setup = (ROOT / "setup.py").read_text()
    version = re.fullmatch(r"python:([\d.]+)-slim", instructions["FROM"][0])[1]
    assert f"Programming Language :: Python :: {version}" in setup
    assert "[serve]" in instructions["RUN"][0] and '"serve": SERVE' in setup
    python, dash_m, module, *flags = json.loads(instructions["ENTRYPOINT"][0])
    assert (python, dash_m, module) == ("python", "-m", "alexnet_tf.serve")
    defined = (ROOT / "alexnet_tf" / "serve.py").read_text()
    assert all(f'"{flag[2:].partition("=")[0]}"' in defined for flag in flags)


def test_the_health_check_tells_a_server_that_answers(instructions, server):
    _, _, command = instructions["HEALTHCHECK"][0].partition("CMD ")
    python, *arguments = json.loads(command)
    assert python == "python"

    def healthy(port):
        replaced = [each.replace(":8501/", f":{port}/") for each in arguments]
        assert replaced != arguments
        return subprocess.run([sys.executable, *replaced], stderr=subprocess.DEVNULL).returncode

    assert healthy(server.address[1]) == 0
    assert healthy(9) == 1
    assert instructions["EXPOSE"] == ["8501"]  # the default of --port
