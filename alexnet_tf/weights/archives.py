"""Opens ZIP archives of strangers."""

from __future__ import annotations

import mmap
import zipfile

from alexnet_tf.system.errors import UserError

_MAX_MEMBERS = 1_000  # a PyTorch AlexNet has some 20, a .keras file three
_ENTRY = b"PK\x01\x02"  # begins every entry of the directory at an archive's end


def open_zip(path: str) -> zipfile.ZipFile:
    """Opens an archive, unless its directory could have too many entries.

    `zipfile` makes an object of each, ten times as large as in the file.

    Raises:
        UserError: it has too many members.
        zipfile.BadZipFile, OSError: no archive, or damaged.
    """
    with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        at = -1
        for _ in range(_MAX_MEMBERS + 1):
            at = content.find(_ENTRY, at + 1)
            if at < 0:
                return zipfile.ZipFile(path)
    raise UserError(f"{path} has more than {_MAX_MEMBERS:,} members")
