"""From files to the network's input.

In the order in which a training image passes them:

sources.py        opens a dataset by name
image_folder.py   folders of images; class_folders.py lists them
tfds.py           datasets in the format of TFDS, by name or directory; shapes.py renders one
dataset.py        a dataset, its splits and their shards
pipeline.py       the tf.data graphs for training and evaluation, and their division among workers
shuffle.py        the order of an epoch
augmentations/    one file each: how its random numbers are drawn, and how it is applied
decode.py         encoded bytes to a square uint8 image or a part of it, on the host
decode_errors.py  which images could not be decoded, and why
preprocess.py     augments and normalises batches, on the device

Beside that way:

random_bits.py    random numbers as pure functions of seed, epoch and index
limits.py         limits for images from strangers; image_checks.py holds them in Python,
                  graph_checks.py in TensorFlow's graphs
pillow_decoding.py  images as Pillow decodes them, where TensorFlow cannot
cache.py          decoded images in memory or on disk
statistics.py     mean image and RGB covariance of a training set, from the sums in moments.py
contact_sheet.py  a batch before and after augmentation, as a picture
"""
