"""Signals while a loop runs."""

import os
import pty
import signal
import subprocess
import sys
import threading

import pytest

from alexnet_tf.system.signals import Interrupt
from tests.commands import ROOT


def test_the_first_signal_is_noted_and_a_second_ctrl_c_raises():
    before = signal.getsignal(signal.SIGINT)
    with Interrupt() as interrupt:
        assert not interrupt()
        os.kill(os.getpid(), signal.SIGINT)
        assert interrupt() and interrupt.signal == signal.SIGINT
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is before


def test_off_the_main_thread_a_loop_runs_and_notes_none():
    noted = []

    def loop():
        with Interrupt() as interrupt:
            noted.append(interrupt())

    thread = threading.Thread(target=loop)
    thread.start()
    thread.join()
    assert noted == [False]


def test_a_closed_terminal_is_noted_unless_it_is_to_be_ignored(hangups):
    gone = []
    with Interrupt(lambda: gone.append(True)) as interrupt:
        os.kill(os.getpid(), signal.SIGHUP)
        assert interrupt.signal == signal.SIGHUP and gone
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as nohup has it
    try:
        with Interrupt() as interrupt:
            os.kill(os.getpid(), signal.SIGHUP)
            assert not interrupt()
    finally:
        signal.signal(signal.SIGHUP, before)


@pytest.mark.parametrize("number", [signal.SIGUSR1, signal.SIGUSR2, signal.SIGXCPU])
def test_the_warning_of_a_scheduler_is_noted_unless_it_is_to_be_ignored(number):
    with Interrupt() as interrupt:
        signal.raise_signal(number)
        assert interrupt.signal == number
    before = signal.signal(number, signal.SIG_IGN)
    try:
        with Interrupt() as interrupt:
            signal.raise_signal(number)
            assert not interrupt()
    finally:
        signal.signal(number, before)


def test_a_signal_is_noted_though_nobody_reads_of_it():
    """As with `2>&1 | tee log`, where Ctrl-C ends tee as well."""
    reader, writer = os.pipe()
    os.close(reader)
    stderr = os.dup(2)
    os.dup2(writer, 2)
    try:
        with Interrupt() as interrupt:
            os.kill(os.getpid(), signal.SIGTERM)
            assert interrupt.signal == signal.SIGTERM
    finally:
        os.dup2(stderr, 2)
        for each in (stderr, writer):
            os.close(each)


def test_a_terminal_that_has_gone_is_written_to_no_more():
    """A real one, whose other end is closed."""
    master, slave = pty.openpty()
    code = (
        "from alexnet_tf.system.signals import let_go_of_terminal as go; import sys\n"
        "input(); go(); print('words', flush=True); sys.stderr.write('more'); sys.exit(5)"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=slave, stderr=slave, cwd=ROOT
    )
    os.close(slave), os.close(master)
    process.communicate(b"go\n", timeout=60)
    assert process.returncode == 5
