"""The launcher by itself, with programs that do nothing but end or wait."""

import contextlib
import signal
import subprocess
import threading
import time

import pytest

from alexnet_tf import launch
from alexnet_tf.system.errors import UserError
from tests import commands


class Workers(launch.Launcher):
    """Shell commands in place of workers, one list for each start."""

    scripts: list[list[str]]

    def start(self):
        """Starts the next ones."""
        self.workers = [subprocess.Popen(["sh", "-c", each]) for each in self.scripts.pop(0)]


@pytest.fixture
def run(monkeypatch):
    def run(*scripts, restarts=3):
        monkeypatch.setattr(Workers, "scripts", list(scripts), raising=False)
        monkeypatch.setattr(launch, "Launcher", Workers)
        flags = {"processes": 2, "program": "evaluate", "restarts": restarts}
        monkeypatch.setattr(launch, "_FLAGS", type("Flags", (), flags))
        return launch.main([])

    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    yield run
    for number, handler in zip((signal.SIGINT, signal.SIGTERM), before, strict=True):
        signal.signal(number, handler)


def test_whoever_is_told_to_end_is_not_lost(run, capsys):
    def tell():
        time.sleep(0.5)
        signal.raise_signal(signal.SIGTERM)

    threading.Thread(target=tell).start()
    assert run(["sleep 30", "sleep 1; exit 75"]) == 128 + signal.SIGTERM
    assert "Lost" not in capsys.readouterr().out


def test_whoever_is_killed_is_lost_and_started_again(run, capsys):
    assert run(["kill -KILL $$", "exit 75"], ["exit 0", "exit 0"]) == 0
    assert capsys.readouterr().out == "Lost worker 0 (SIGKILL): starting all again\n"
    with pytest.raises(UserError, match="worker 0 .SIGKILL. lost, after 0 restarts"):
        run(["kill -KILL $$", "exit 75"], restarts=0)


@pytest.mark.parametrize("flag", ["--workers=a:1,b:2", "--worker_index=0", "-workers", "--workers"])
def test_what_the_launcher_chooses_cannot_be_chosen(flag):
    with pytest.raises(UserError, match="which the launcher chooses"):
        launch.main(["--epochs=1", flag])


def test_flags_that_look_alike_are_passed_on(run):
    passed = []

    def stop(arguments):
        passed.append(arguments)
        raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch, contextlib.suppress(KeyboardInterrupt):
        patch.setattr(launch, "_FLAGS", type("Flags", (), {"processes": 2, "program": "evaluate"}))
        patch.setattr(launch, "Launcher", lambda processes, program, arguments: stop(arguments))
        launch.main(["--worker_timeout=9", "--csv", "worker.csv", "workers"])
    assert passed == [["--worker_timeout=9", "--csv", "worker.csv", "workers"]]


def test_the_command_says_so_in_a_line():
    done = commands.run("alexnet_tf.launch", "--", "--worker_index=1")
    assert done.returncode == 1
    assert (
        done.stderr == "error: Expected flags without --worker_index, which the launcher chooses\n"
    )
