"""What AlexNet is: variants as data (`variants.py`, `spec.py`), and their builder (`build.py`)."""
