"""Images, as arrays: uint8 [height, width, 3], RGB."""
