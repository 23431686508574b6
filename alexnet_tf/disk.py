"""What survives a power cut."""

from __future__ import annotations

import os
import pathlib


def force_to_disk(path: pathlib.Path) -> None:
    """Returns when a file, or the names in a directory, would be there after a power cut."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
