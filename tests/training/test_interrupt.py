"""Signals while a loop runs."""

import os
import signal
import threading

import pytest

from alexnet_tf.training.interrupt import Interrupt


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
