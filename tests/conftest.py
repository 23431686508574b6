"""TensorFlow as the whole suite has it: quiet, exact, and with two CPU devices to replicate on."""

import ctypes
import gc
import os
import pathlib
import signal

import pytest

from alexnet_tf.app import import_tensorflow_quietly

_LIBC = ctypes.CDLL(None)


def pytest_configure(config):
    if config.getoption("numprocesses", None) and not hasattr(config, "workerinput"):
        return  # pytest-xdist's first process only hands tests out
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # a shell's background job ignores Ctrl-C
        signal.signal(signal.SIGINT, signal.default_int_handler)
    # XLA goes through all of its passes, but LLVM makes no effort: a third of the time is saved.
    os.environ.setdefault("XLA_FLAGS", "--xla_backend_optimization_level=0")
    import_tensorflow_quietly()
    import tensorflow as tf

    cpu = tf.config.list_physical_devices("CPU")[0]
    halves = [tf.config.LogicalDeviceConfiguration()] * 2
    tf.config.set_logical_device_configuration(cpu, halves)
    # GPUs would round float32 products to 10 bits, too few to compare with NumPy.
    tf.config.experimental.enable_tensor_float_32_execution(False)
    gc.freeze()  # what was imported stays: the collector, asked below, need not look at it


@pytest.fixture(autouse=True)
def _seed():
    import keras

    keras.utils.set_random_seed(0)


@pytest.fixture(autouse=True)
def _release_memory():
    """Frees what TensorFlow, Python and the C library keep after a test.

    TensorFlow keeps each use of tf.custom_gradient in a graph for the life of the process, and the
    weights with it. A program trains few networks; the tests train hundreds, which would be 10 GB.
    """
    before = _resident_memory()
    yield
    from tensorflow.python.framework import ops

    kept = ops.gradient_registry._registry
    names = [name for name in kept if name.startswith("CustomGradient-")]
    for name in names:
        del kept[name]
    if names or _resident_memory() > before + 100e6:
        gc.collect()
        if hasattr(_LIBC, "malloc_trim"):  # glibc
            _LIBC.malloc_trim(0)


def _resident_memory():
    """Bytes of this process; 0 where the system does not say."""
    try:
        pages = int(pathlib.Path("/proc/self/statm").read_text().split()[1])
    except OSError:
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE")


@pytest.fixture(scope="session")
def two_replicas():
    """A strategy with two replicas, one on each logical CPU."""
    from alexnet_tf.training.distributed import make_strategy

    return make_strategy("mirrored", logical_cpus=2)


@pytest.fixture
def hangups():
    """SIGHUP as a terminal's processes have it, also where the tests themselves run under nohup."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)
