"""Packaging of alexnet_tf. BUILD.md: how to install, test and release, and why each dependency."""

import pathlib
import re

from setuptools import find_packages, setup

HERE = pathlib.Path(__file__).parent
VERSION = re.search(
    r'^__version__ = "(.+)"$',
    (HERE / "alexnet_tf" / "__init__.py").read_text("utf-8"),
    re.MULTILINE,
).group(1)

# Faster JPEGs and resizing for `alexnet_tf.prepare`; cykooz.resizer has no wheels for Linux on ARM.
PREPARE = [
    "simplejpeg>=1.8",
    "cykooz.resizer>=3.0; sys_platform != 'linux' or platform_machine == 'x86_64'",
]

# Releases with known faults in what this package uses are excluded below; each line has the reason.

# `alexnet_tf.serve`: the REST server, its page and its metrics.
SERVE = [
    "starlette>=1.0.1",  # before: a malformed Host changes request.url (CVE-2026-48710)
    "uvicorn>=0.30",
    "h11>=0.16",  # under uvicorn; before: request smuggling by chunks (CVE-2025-43859)
    "prometheus_client>=0.20",
]

# `alexnet_tf.figures`: drawing, and nearest neighbours.
FIGURES = ["matplotlib>=3.9", "faiss-cpu>=1.10"]

# `alexnet_tf.features --probe`: logistic regression.
PROBE = ["scikit-learn>=1.5"]

setup(
    name="alexnet_tf",
    version=VERSION,
    description="AlexNet (2012) in TensorFlow 2 and Keras 3: faithful, fast and readable",
    long_description=(HERE / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    author="alexnet_tf contributors",
    maintainer="alexnet_tf contributors",
    license="Apache-2.0",
    license_files=["LICENSE"],
    keywords=[
        "AlexNet",
        "ImageNet",
        "image classification",
        "convolutional neural network",
        "deep learning",
        "computer vision",
        "TensorFlow",
        "Keras",
    ],
    classifiers=[
        "Development Status :: 4 - Beta",
        "Environment :: Console",
        "Environment :: GPU",
        "Intended Audience :: Developers",
        "Intended Audience :: Education",
        "Intended Audience :: Science/Research",
        "Natural Language :: English",
        "Operating System :: MacOS",
        "Operating System :: POSIX :: Linux",
        "Programming Language :: Python :: 3",
        "Programming Language :: Python :: 3 :: Only",
        "Programming Language :: Python :: 3.10",
        "Programming Language :: Python :: 3.11",
        "Programming Language :: Python :: 3.12",
        "Programming Language :: Python :: 3.13",
        "Topic :: Scientific/Engineering :: Artificial Intelligence",
        "Topic :: Scientific/Engineering :: Image Recognition",
    ],
    # The recipes of configs/ are installed as a package without code.
    packages=[*find_packages(include=["alexnet_tf", "alexnet_tf.*"]), "alexnet_tf.configs"],
    package_dir={"alexnet_tf.configs": "configs"},
    python_requires=">=3.10",
    install_requires=[
        "tensorflow>=2.20,<3",
        # Loading a .keras or .h5 file ran code or read other files (CVE-2025-1550, 8747, 9905,
        # 9906, 12058, 12060, CVE-2026-0897, 1462, 1669). Only 3.12.4 and 3.15.1 have all the
        # repairs; the first is the newest for Python 3.10.
        "keras>=3.12.4,!=3.13.*,!=3.14.*,!=3.15.0,<4",
        "tensorboard>=2.20,<3",
        "tensorflow-datasets>=4.9.9,<5",
        "tensorflow-serving-api>=2.20,<3",
        "importlib_resources",
        # tensorflow-datasets excludes etils 1.14 on Python 3.10; older pips search for an hour.
        "etils<1.14; python_version < '3.11'",
        "absl-py>=2.1",
        "numpy>=1.26",
        "pillow>=12.3",  # before: writes out of bounds in crop() and paste() (CVE-2026-59199)
        # Under TFDS, which reads dataset_info.json by it; before: recursion without a limit
        # (CVE-2026-0994). On Python 3.10 tensorflow-metadata needs an older release.
        "protobuf>=6.33.5; python_version >= '3.11'",
        "safetensors>=0.4.3",
        "tqdm>=4.66.3",  # before: its command line runs code (CVE-2024-34062)
    ],
    package_data={
        "alexnet_tf.models": ["imagenet_classes.txt"],
        "alexnet_tf.serving": ["page/*"],
        "alexnet_tf.configs": ["*.flags"],
    },
    extras_require={
        "gpu": ["tensorflow[and-cuda]>=2.20,<3"],
        "figures": FIGURES,
        "prepare": PREPARE,
        "probe": PROBE,
        "serve": SERVE,
        "test": [
            "pytest>=8.2",
            "pytest-xdist>=3.5",
            "selenium>=4.20",
            "ruff>=0.6",
            *FIGURES,
            *PREPARE,
            *PROBE,
            *SERVE,
        ],
    },
)
