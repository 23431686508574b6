"""Where Python looks for modules: not in the working directory, which may hold a stranger's files.

`python -m` puts the working directory first. A file json.py there would be run in place of
Python's own module, and any folder of Python files could be imported by name.
"""

import os  # Python itself has imported both modules already
import sys


def leave_out_working_directory() -> None:
    """Takes the working directory out of `sys.path` if `python -m alexnet_tf...` put it there.

    Where the package itself is in the working directory, as in a clone, the directory is the last
    one to be searched: the processes of a preparation look for the package by the same path.
    """
    # While `python -m` looks for the module, its name stands where argv[0] will be.
    module = sys.orig_argv[-len(sys.argv)] if sys.argv[:1] == ["-m"] else ""
    name = module.partition("m")[2] if module.startswith("-") else module  # -malexnet_tf.train
    if name.partition(".")[0] != "alexnet_tf" or sys.path[0] not in ("", _working_directory()):
        return  # as with Python's options -P and -I
    first = os.path.abspath(sys.path.pop(0))
    package = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    if first == package and package not in map(os.path.abspath, sys.path):
        sys.path.append(package)


def _working_directory() -> str:
    try:
        return os.getcwd()
    except OSError:  # it has been removed
        return ""
