"""What strangers' images may ask for. This module imports nothing, and nothing heavy imports it."""

# Pixels of an image, as its header has them. Pillow's own limit: a quarter of a GiB in RGB.
MAX_PIXELS = 89_478_485

# The share of a split's images that may be impossible to decode, unless a flag says otherwise.
MAX_UNREADABLE = 0.01
