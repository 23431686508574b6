"""Limits for images and datasets from strangers. This module imports nothing.

`image_checks.py` holds them in Python: preparation, doctor and server. `graph_checks.py` holds them
in TensorFlow's graphs: input pipeline and exported model.
"""

MAX_BYTES = 2**25  # of a file

# Pixels of a JPEG, as its header has them. Pillow's own limit: a quarter of a GiB in RGB.
MAX_PIXELS = 89_478_485
# Only a JPEG can be decoded at a fraction of its size. Of other formats the decoders hold every
# pixel, in up to 16 bytes: this many take up to 1.3 s (PNG with alpha) and 0.65 GB (WebP).
MAX_WHOLE_PIXELS = 2**25
# A JPEG may scan its pixels any number of times, at 1 to 4 ns for each.
MAX_PIXELS_TIMES_SCANS = 400_000_000
MIN_SCAN_PIXELS = 10_000  # a scan of fewer pixels takes as long as one of this many

# The share of a split's images that may be unreadable, by default.
MAX_UNREADABLE = 0.01

# Classes of a model or a dataset; ImageNet-21k has 21,841.
MAX_CLASSES = 100_000
