"""Packaging of alexnet_tf; BUILD.md says how to install, test and release, and why each part."""

import pathlib
import re

from setuptools import find_packages, setup

HERE = pathlib.Path(__file__).parent
VERSION = re.search(
    r'^__version__ = "(.+)"$', (HERE / "alexnet_tf" / "__init__.py").read_text(), re.MULTILINE
).group(1)

# Vector instructions for `alexnet_tf.prepare`; cykooz.resizer has no wheels for Linux on ARM.
PREPARE = [
    "simplejpeg>=1.8",
    "cykooz.resizer>=3.0; sys_platform != 'linux' or platform_machine == 'x86_64'",
]

# The REST server and its page. Predicting and exporting need neither.
SERVE = ["starlette>=0.40", "uvicorn>=0.30"]

# Pictures of what a network has learnt, and the images that it finds alike.
FIGURES = ["matplotlib>=3.9", "faiss-cpu>=1.10"]

setup(
    name="alexnet_tf",
    version=VERSION,
    description="AlexNet (2012) in TensorFlow 2 and Keras 3: faithful, fast and readable",
    long_description=(HERE / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    packages=find_packages(include=["alexnet_tf", "alexnet_tf.*"]),
    python_requires=">=3.10",
    install_requires=[
        "tensorflow>=2.20,<3",
        "keras>=3.12,<4",
        "tensorboard>=2.20,<3",
        "tensorflow-datasets>=4.9.9,<5",
        "tensorflow-serving-api>=2.20,<3",
        "importlib_resources",
        # What tensorflow-datasets asks of etils excludes 1.14 there; older pips search for an hour.
        "etils<1.14; python_version < '3.11'",
        "absl-py>=2.1",
        "numpy>=1.26",
        "pillow>=10.4",
        "tqdm>=4.66",
    ],
    package_data={"alexnet_tf.serving": ["page/*"]},
    extras_require={
        "gpu": ["tensorflow[and-cuda]>=2.20,<3"],
        "figures": FIGURES,
        "prepare": PREPARE,
        "serve": SERVE,
        "test": [
            "pytest>=8.2",
            "pytest-xdist>=3.5",
            "selenium>=4.20",
            "ruff>=0.6",
            *FIGURES,
            *PREPARE,
            *SERVE,
        ],
    },
)
