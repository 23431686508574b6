"""Weights from and for other programs: Caffe, PyTorch, NumPy and Keras files."""
