"""Official weights by name: where they are published, and how a download is checked."""

from __future__ import annotations

import dataclasses
import hashlib
import os

from alexnet_tf.system.errors import UserError, first_line


@dataclasses.dataclass(frozen=True)
class Official:
    """A file of weights that its authors publish.

    Attributes:
        url: where.
        digest: beginning of the file's digest, in hexadecimal.
        algorithm: of the digest, for `hashlib`.
        source: who says the digest.
    """

    url: str
    digest: str
    algorithm: str
    source: str


# Caffe: models/bvlc_alexnet/readme.md and models/bvlc_reference_caffenet/readme.md, which give URL
# and SHA-1. torchvision: models/alexnet.py; PyTorch puts the first eight digits of the SHA-256 into
# the file's name.
OFFICIAL = {
    "caffe": Official(
        "http://dl.caffe.berkeleyvision.org/bvlc_alexnet.caffemodel",
        "9116a64c0fbe4459d18f4bb6b56d647b63920377",
        "sha1",
        "SHA-1 in Caffe's models/bvlc_alexnet/readme.md",
    ),
    "caffenet": Official(
        "http://dl.caffe.berkeleyvision.org/bvlc_reference_caffenet.caffemodel",
        "4c8d77deb20ea792f84eb5e6d0a11ca0a8660a46",
        "sha1",
        "SHA-1 in Caffe's models/bvlc_reference_caffenet/readme.md",
    ),
    "torchvision": Official(
        "https://download.pytorch.org/models/alexnet-owt-7be5be79.pth",
        "7be5be79",
        "sha256",
        "first eight digits of the SHA-256, in the file's name",
    ),
}


def download(
    name: str, cache_dir: str | None = None, official: dict[str, Official] = OFFICIAL
) -> str:
    """Fetches official weights once, and checks their digest.

    Args:
        name: one of `official`.
        cache_dir: where downloads are kept, in its folder models; None for Keras's (~/.keras).
        official: by name.

    Returns:
        The path of the file.

    Raises:
        UserError: the file cannot be had, or has another digest.
    """
    import keras

    file_name = official[name].url.rsplit("/", 1)[1]
    home = os.environ.get("KERAS_HOME") or os.path.join(os.path.expanduser("~"), ".keras")
    root = cache_dir or home
    path = os.path.join(root, "models", file_name)
    if not os.path.exists(path):
        try:
            # If the folder cannot be written, Keras takes another one.
            path = keras.utils.get_file(
                file_name, official[name].url, cache_subdir="models", cache_dir=root
            )
        except Exception as error:  # urllib and its callers raise many kinds
            raise UserError(
                f"The weights {name} could not be fetched from {official[name].url} "
                f"({first_line(error)[-120:]}). Download the file elsewhere and put it at {path}"
            ) from None
    published = official[name]
    digest = hashlib.new(published.algorithm)
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    if not digest.hexdigest().startswith(published.digest):
        raise UserError(
            f"{path} is not the published file: its {published.algorithm} is {digest.hexdigest()}, "
            f"expected {published.digest} ({published.source}). Remove it and try again"
        )
    return path
