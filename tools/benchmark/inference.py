"""Inference: logits of normalised images in memory, with the same weights in every library."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from alexnet_tf.models.layer_summary import layer_summary
from alexnet_tf.models.variants import get_variant
from tools.benchmark import gemm
from tools.benchmark.contestants import Contestant, Settings, Turn
from tools.benchmark.peers.weights import draw_images, draw_weights, to_channels_first

CLASSES = 1000
# A function from images to logits [B, classes], and images in the layout that it takes.
Network = tuple[Callable[[Any], np.ndarray], Any]


def contestants(variant: str) -> dict[str, Contestant]:
    """The contestants by name, ours first."""
    layers = layer_summary(get_variant(variant), CLASSES)
    gigaflop = sum(2 * layer.multiply_adds for layer in layers) / 1e9

    def row(
        about: str, make: Callable[[Settings], Network], against: str | None = "ours"
    ) -> Contestant:
        return Contestant(about, lambda s: _turn(s, make), gigaflop, against=against)

    return {
        "ours": row("alexnet_tf, float32", ours, None),
        "torch": row("PyTorch, eager", lambda s: pytorch(s, False, False)),
        "torch_last": row("PyTorch, eager, channels_last", lambda s: pytorch(s, False, True)),
        "torch_compile_last": row(
            "PyTorch, compiled, channels_last", lambda s: pytorch(s, True, True)
        ),
        "onnxruntime": row("ONNX Runtime", onnx_runtime),
        "opencv": row("OpenCV DNN", opencv),
        "gemm": gemm.contestant("float32"),
    }


def _turn(settings: Settings, make: Callable[[Settings], Network]) -> Turn:
    network, images = make(settings)

    def turn() -> float:
        """Classifies at least 32 images a step; returns the number of images."""
        calls = settings.steps * max(1, 32 // settings.batch_size)
        for _ in range(calls):
            network(images)
        return calls * settings.batch_size

    return turn


def ours(settings: Settings) -> Network:
    """The Keras model as a `tf.function`."""
    import tensorflow as tf

    from alexnet_tf.models.build import build_model

    variant = get_variant(settings.variant)
    model = build_model(variant, CLASSES)
    for name, weights in draw_weights(variant, CLASSES).items():
        model.get_layer(name).set_weights(weights)
    images = tf.constant(draw_images(variant, settings.batch_size))
    function = tf.function(lambda x: model(x, training=False))
    return lambda x: function(x).numpy(), images


def pytorch(settings: Settings, compiled: bool, channels_last: bool) -> Network:
    """A PyTorch module in evaluation mode."""
    import torch

    from tools.benchmark.peers.pytorch import build

    torch.set_num_threads(len(settings.cores))
    variant = get_variant(settings.variant)
    network = build(variant, CLASSES).eval()
    modules = [m for m in network if isinstance(m, (torch.nn.Conv2d, torch.nn.Linear))]
    features = layer_summary(variant, CLASSES)[len(variant.convs) - 1].output_after_pooling
    drawn = draw_weights(variant, CLASSES).items()
    for module, (name, (kernel, bias)) in zip(modules, drawn, strict=True):
        before = features if name == variant.denses[0].name else None
        module.weight.data = torch.from_numpy(to_channels_first(name, kernel, before))
        module.bias.data = torch.from_numpy(bias)
    layout = torch.channels_last if channels_last else torch.contiguous_format
    network = network.to(memory_format=layout)
    images = torch.from_numpy(_channels_first(settings)).to(memory_format=layout)
    function = torch.compile(network) if compiled else network

    def logits(x: torch.Tensor) -> np.ndarray:
        """[B, classes]."""
        with torch.inference_mode():
            return function(x).numpy()

    return logits, images


def onnx_runtime(settings: Settings) -> Network:
    """A session of ONNX Runtime on the CPU."""
    import onnxruntime

    from tools.benchmark.peers import onnx_graph

    variant = get_variant(settings.variant)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = len(settings.cores)
    graph = onnx_graph.build(variant, draw_weights(variant, CLASSES), settings.batch_size)
    session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    return lambda x: session.run(None, {"image": x})[0], _channels_first(settings)


def opencv(settings: Settings) -> Network:
    """A network of OpenCV's DNN module."""
    import cv2

    from tools.benchmark.peers import onnx_graph

    cv2.setNumThreads(len(settings.cores))
    variant = get_variant(settings.variant)
    graph = onnx_graph.build(variant, draw_weights(variant, CLASSES), settings.batch_size)
    network = cv2.dnn.readNetFromONNX(np.frombuffer(graph, np.uint8))

    def logits(x: np.ndarray) -> np.ndarray:
        """[B, classes]."""
        network.setInput(x)
        return network.forward()

    return logits, _channels_first(settings)


def _channels_first(settings: Settings) -> np.ndarray:
    """Images, float32 [B, 3, S, S]."""
    images = draw_images(get_variant(settings.variant), settings.batch_size)
    return np.ascontiguousarray(images.transpose(0, 3, 1, 2))
