"""The network split over two devices, as the paper's was over two GPUs."""
