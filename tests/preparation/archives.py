"""Miniatures of ILSVRC's two archives, laid out as those are."""

import io
import tarfile

from alexnet_tf.preparation.imagenet_tars import TRAIN, VALIDATION

LINK = object()  # stands for a symbolic link to a file outside


def tar(members):
    """Encoded bytes of an archive, of name to content."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            if content is LINK:
                info.type, info.linkname = tarfile.SYMTYPE, "/etc/passwd"
                archive.addfile(info)
            else:
                info.size = len(content)
                archive.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def write_archives(folder, train, validation, labels):
    """Writes both, and labels.txt; `train` is synset to name to content."""
    folder.mkdir(parents=True, exist_ok=True)
    outer = tar({f"{synset}.tar": tar(members) for synset, members in train.items()})
    (folder / TRAIN).write_bytes(outer)
    (folder / VALIDATION).write_bytes(tar(validation))
    (folder / "labels.txt").write_text("\n".join(labels) + "\n")
    return folder
