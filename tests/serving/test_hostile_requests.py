"""The tools for load tests and fuzzing, for a few seconds each."""

import re
import socket
import struct
import threading

import numpy as np
import pytest

from tests import commands
from tests.serving.servable import make_picture
from tools.fuzz_server import rest
from tools.load_server import Load
from tools.server_process import Served, serving
from tools.worst_requests import WORST, worst_request

pytest.importorskip("starlette", reason="needs the extra `serve`")


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    folder = tmp_path_factory.mktemp("photos")
    for seed in range(6):
        kind = "PNG" if seed == 0 else "JPEG"
        (folder / f"{seed}.{kind.lower()}").write_bytes(make_picture(seed, kind, (500, 400)))
    return folder


def run(tool, exported, photos, *flags, code=0):
    done = commands.run(f"tools.{tool}", f"--saved_model={exported}", f"--photos={photos}", *flags)
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout


@pytest.mark.slow
def test_under_load_every_answer_is_right(exported, photos):
    printed = run("load_server", exported, photos, "--requests=100", "--clients=30", "--rounds=1")
    assert printed.endswith("\nwrong answers: 0\n")
    assert "right answers/s from 30 clients, memory" in printed
    for kind in ("good", "broken", "mixed", "bomb", "huge", "rubbish", "halting", "abandoned"):
        assert f"\n{kind}" in printed
    assert re.search(r"\nslow .* status {408: \d+}", printed)
    assert "batching: " in printed
    assert "\nnew connection: " in printed and "\nreused connection: " in printed


@pytest.mark.slow
def test_mutated_requests_get_an_answer(exported, photos):
    printed = run("fuzz_server", exported, photos, "--requests=400")
    assert printed.endswith("\nfaults: 0\n")
    assert "200: " in printed and "400: " in printed and "415: " in printed


@pytest.mark.slow
def test_too_much_memory_is_a_fault(exported, photos):
    flags = ("--requests=2", "--max_memory_gb=0.01")
    printed = run("fuzz_server", exported, photos, *flags, code=1)
    assert "more memory than 0.01 GB\n" in printed
    printed = run("load_server", exported, photos, *flags, "--clients=1", "--rounds=0", code=1)
    assert "wrong answers: 0" in printed


@pytest.mark.parametrize("kind", ["good", "rubbish", "huge", "slow", "halting"])
def test_a_server_that_dies_has_not_answered(kind):
    listener = socket.create_server(("127.0.0.1", 0))
    served = Served(None, *listener.getsockname())

    def die():
        connection, _ = listener.accept()
        listener.close()
        # Resets the connection, as when a process ends with unread bytes.
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        connection.close()

    thread = threading.Thread(target=die)
    thread.start()
    load = Load([make_picture(0)], np.zeros((1, 7)))
    assert load.one(served, kind, 0)[1:4:2] == (0, False)
    thread.join()


@pytest.mark.slow
def test_the_worst_requests_take_bounded_memory_and_give_it_back(exported):
    with serving(exported) as served:
        before = served.memory()
        for kind in WORST:
            path, body = worst_request(kind)
            status, _ = served.ask("POST", path, body)
            assert status in (200, 400, 413, 415), kind
        assert served.memory(peak=True) < 1.5
        assert rest(served, 1.1 * before) < 1.1 * before
