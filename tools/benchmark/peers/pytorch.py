"""AlexNet in PyTorch."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812 - as in PyTorch's documentation

from alexnet_tf.models.spec import ACTIVATION, Dropout, Norm, Op, Pool, Variant
from alexnet_tf.models.variants import get_variant
from tools.benchmark.contestants import Settings, Turn

_CLASSES = 1000


class Normalization(nn.Module):
    """Response normalisation, tower by tower; PyTorch always divides alpha by size."""

    def __init__(self, norm: Norm):
        super().__init__()
        self.norm = norm
        self.alpha = norm.alpha if norm.divide_by_size else norm.alpha * norm.size

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[B, C, H, W] to the same."""
        norm = self.norm
        parts = x.chunk(norm.towers, dim=1)
        parts = [F.local_response_norm(p, norm.size, self.alpha, norm.beta, norm.k) for p in parts]
        return torch.cat(parts, dim=1) if norm.towers > 1 else parts[0]


class UnscaledDropout(nn.Module):
    """The paper's dropout: a mask in training, × (1 - rate) at test."""

    def __init__(self, rate: float):
        super().__init__()
        self.rate = rate

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[B, units] to the same."""
        keep = 1 - self.rate
        return F.dropout(x, self.rate, self.training) * keep


def build(variant: Variant, classes: int = _CLASSES) -> nn.Sequential:
    """The network of a variant, from [B, 3, S, S] to logits.

    Raises:
        NotImplementedError: PyTorch has no module for one of its operations.
    """
    modules: list[nn.Module] = []
    size, channels = variant.preprocessing.crop_size, 3
    for conv in variant.convs:
        before, after = ((conv.kernel - 1) // 2,) * 2 if conv.padding == "same" else conv.padding
        padding = before if before == after else 0
        if before != after:
            modules.append(nn.ZeroPad2d((before, after, before, after)))
        modules.append(
            nn.Conv2d(channels, conv.filters, conv.kernel, conv.stride, padding, groups=conv.towers)
        )
        size = (size + before + after - conv.kernel) // conv.stride + 1
        channels = conv.filters
        modules += [_module(op) for op in conv.post_ops]
        for op in conv.post_ops:
            size = (size - op.size) // op.stride + 1 if isinstance(op, Pool) else size
    modules.append(nn.Flatten())
    units = size * size * channels
    for dense in variant.denses:
        modules += [_module(op) for op in dense.pre_ops]
        modules.append(nn.Linear(units, dense.units or classes))
        units = dense.units or classes
        modules += [_module(op) for op in dense.post_ops]
    return nn.Sequential(*modules)


def _module(op: Op) -> nn.Module:
    if op == ACTIVATION:
        return nn.ReLU(inplace=True)
    if isinstance(op, Norm):
        return Normalization(op)
    if isinstance(op, Pool):
        return nn.MaxPool2d(op.size, op.stride)
    if isinstance(op, Dropout):
        return nn.Dropout(op.rate) if op.convention == "inverted" else UnscaledDropout(op.rate)
    raise NotImplementedError(f"PyTorch has no module for {op!r}")


def make_training(settings: Settings, compiled: bool = False, channels_last: bool = False) -> Turn:
    """Training steps with PyTorch's fused SGD, on normalised images in memory."""
    torch.set_num_threads(len(settings.cores))
    torch.manual_seed(0)
    layout = torch.channels_last if channels_last else torch.contiguous_format
    device = "cuda" if torch.cuda.is_available() else "cpu"
    # As TensorFlow does by default: float32 products with 10 bits, on GPUs that have them.
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
    torch.backends.cudnn.benchmark = True
    model = build(get_variant(settings.variant)).to(device, memory_format=layout)
    optimizer = torch.optim.SGD(
        model.parameters(), 0.001, momentum=0.9, weight_decay=0.0005, fused=True
    )
    size = get_variant(settings.variant).preprocessing.crop_size
    images = 60 * torch.randn(settings.batch_size, 3, size, size)
    images = images.to(device, memory_format=layout)
    labels = torch.randint(0, _CLASSES, (settings.batch_size,), device=device)
    network = torch.compile(model) if compiled else model

    def turn() -> float:
        """Trains; returns the number of images."""
        for _ in range(settings.steps):
            optimizer.zero_grad(set_to_none=True)
            loss = F.cross_entropy(network(images), labels)
            loss.backward()
            optimizer.step()
            loss.item()
        return settings.steps * settings.batch_size

    return turn
