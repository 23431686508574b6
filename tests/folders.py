"""Image folders made for tests, of the built-in dataset's pictures."""

from alexnet_tf.data.shapes import CLASSES, jpeg


def write_folder(root, train=4, val=2):
    """Writes root/train/<class>/ and root/val/<class>/ with that many JPEGs a class."""
    for folder, split, images in (("train", 0, train), ("val", 1, val)):
        for index in range(images * len(CLASSES)):
            directory = root / folder / CLASSES[index % len(CLASSES)]
            directory.mkdir(parents=True, exist_ok=True)
            (directory / f"{index:04d}.jpg").write_bytes(jpeg(split, index))
    return root
