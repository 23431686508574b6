"""The launcher by itself, with programs that do nothing but end or wait."""

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

    def __init__(self, *scripts):
        super().__init__(len(scripts[0]), "train", [])
        self.scripts = list(scripts)

    def start(self):
        """Starts the next ones."""
        self.workers = [subprocess.Popen(["sh", "-c", each]) for each in self.scripts.pop(0)]


@pytest.fixture(autouse=True)
def _handlers():
    """Restores the signal handlers that the launcher replaces."""
    before = {number: signal.getsignal(number) for number in launch.signals()}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1])
def test_workers_that_a_signal_ends_are_not_lost(capsys, number):
    def tell():
        time.sleep(0.5)
        signal.raise_signal(number)

    threading.Thread(target=tell).start()
    assert launch.supervise(Workers(["sleep 30", "sleep 1; exit 75"]), 3) == 128 + number
    assert "Lost" not in capsys.readouterr().out


def test_a_killed_worker_is_lost_and_all_are_restarted(capsys):
    workers = Workers(["kill -KILL $$", "exit 75"], ["exit 0", "exit 0"])
    assert launch.supervise(workers, 3) == 0
    assert capsys.readouterr().out == "Lost worker 0 (SIGKILL): restarting all workers\n"
    with pytest.raises(UserError, match="Worker 0 .SIGKILL. was lost after 0 restarts"):
        launch.supervise(Workers(["kill -KILL $$", "exit 75"]), restarts=0)


@pytest.mark.parametrize("flag", ["--workers=a:1,b:2", "--worker_index=0", "-workers", "--workers"])
def test_flags_that_the_launcher_sets_are_refused(flag):
    with pytest.raises(UserError, match="which the launcher sets itself"):
        launch.check_flags(["--epochs=1", flag])


def test_flags_with_similar_names_are_allowed():
    launch.check_flags(["--worker_timeout=9", "--csv", "worker.csv", "workers"])


def test_the_command_refuses_them_in_one_line():
    done = commands.run("alexnet_tf.launch", "--", "--worker_index=1")
    assert done.returncode == 1
    expected = "error: Expected flags without --worker_index, which the launcher sets itself.\n"
    assert done.stderr == expected
