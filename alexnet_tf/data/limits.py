"""What strangers' images may ask for. This module imports nothing, and nothing heavy imports it.

Preparation (Pillow), the input pipeline and the exported graph (TensorFlow) keep to the same.
"""

MAX_BYTES = 2**25  # of a file

# Pixels of a JPEG, as its header has them. Pillow's own limit: a quarter of a GiB in RGB.
MAX_PIXELS = 89_478_485
# Only a JPEG can be decoded small. Of the others the decoders hold every pixel, up to 16 bytes for
# each; so many take up to 1.3 s (PNG with alpha) and 0.65 GB (WebP).
MAX_WHOLE_PIXELS = 2**25
# A JPEG may pass over its pixels as often as it likes, at 1 to 4 ns each.
MAX_PIXELS_TIMES_SCANS = 400_000_000

# The share of a split's images that may be impossible to decode, unless a flag says otherwise.
MAX_UNREADABLE = 0.01
