"""What AlexNet is: `variants.py` (data), `spec.py` (its vocabulary), `build.py` (data to Keras)."""
