"""The part of Caffe's protocol buffers that holds weights (source: BVLC/caffe, caffe.proto).

The messages are declared here, because Caffe's own module is generated code that few people have.
Arrays of numbers are declared as bytes. A packed array has the same encoding, and bytes become a
NumPy array without a Python object for each number.
"""

from __future__ import annotations

import functools
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

_F = descriptor_pb2.FieldDescriptorProto
_KINDS = {
    "string": _F.TYPE_STRING,
    "bytes": _F.TYPE_BYTES,
    "int64": _F.TYPE_INT64,
    "uint32": _F.TYPE_UINT32,
    "float": _F.TYPE_FLOAT,
}

# Message: fields as (name, number, type, default), with * for repeated. A file's other fields are
# skipped.
_MESSAGES = {
    "BlobShape": (("dim", 1, "int64*"),),
    "BlobProto": (
        ("num", 1, "int64"),  # the old style: four dimensions
        ("channels", 2, "int64"),
        ("height", 3, "int64"),
        ("width", 4, "int64"),
        ("data", 5, "bytes*"),  # packed float
        ("shape", 7, "BlobShape"),
        ("double_data", 8, "bytes*"),  # packed double
    ),
    "ConvolutionParameter": (
        ("num_output", 1, "uint32"),
        ("pad", 3, "uint32*"),
        ("kernel_size", 4, "uint32*"),
        ("group", 5, "uint32"),
        ("stride", 6, "uint32*"),
    ),
    "LRNParameter": (
        ("local_size", 1, "uint32", 5),
        ("alpha", 2, "float", 1.0),
        ("beta", 3, "float", 0.75),
        ("k", 5, "float", 1.0),
    ),
    "LayerParameter": (
        ("name", 1, "string"),
        ("type", 2, "string"),
        ("blobs", 7, "BlobProto*"),
        ("convolution_param", 106, "ConvolutionParameter"),
        ("lrn_param", 118, "LRNParameter"),
    ),
    "V0LayerParameter": (("name", 1, "string"),),
    "V1LayerParameter": (
        ("layer", 1, "V0LayerParameter"),
        ("name", 4, "string"),
        ("type", 5, "int64"),  # an enum
        ("blobs", 6, "BlobProto*"),
        ("convolution_param", 10, "ConvolutionParameter"),
        ("lrn_param", 18, "LRNParameter"),
    ),
    "NetParameter": (
        ("name", 1, "string"),
        ("layers", 2, "V1LayerParameter*"),
        ("layer", 100, "LayerParameter*"),
    ),
}

# V1LayerParameter.LayerType: the numbers that an AlexNet has, as today's names.
V1_TYPES = {
    4: "Convolution",
    6: "Dropout",
    14: "InnerProduct",
    15: "LRN",
    17: "Pooling",
    18: "ReLU",
}


@functools.cache
def message_class(name: str) -> Any:
    """The class of a message of `_MESSAGES`."""
    return message_factory.GetMessageClass(
        _pool().FindMessageTypeByName(f"alexnet_tf.caffe.{name}")
    )


@functools.cache
def _pool() -> descriptor_pool.DescriptorPool:
    """A pool of its own, so that an installed Caffe does not clash with it."""
    file = descriptor_pb2.FileDescriptorProto(
        name="alexnet_tf/caffe.proto", package="alexnet_tf.caffe", syntax="proto2"
    )
    for message, fields in _MESSAGES.items():
        declared = file.message_type.add(name=message)
        for name, number, kind, *default in fields:
            label = _F.LABEL_REPEATED if kind.endswith("*") else _F.LABEL_OPTIONAL
            kind = kind.rstrip("*")
            field = declared.field.add(name=name, number=number, label=label)
            if kind in _KINDS:
                field.type = _KINDS[kind]
                if default:
                    field.default_value = str(default[0])
            else:
                field.type, field.type_name = _F.TYPE_MESSAGE, f".alexnet_tf.caffe.{kind}"
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return pool


_MAX_FIELDS = 100_000  # an AlexNet has some hundreds
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5  # wire types


def check_size(name: str, content: bytes) -> None:
    """Refuses an encoded message with more fields than an AlexNet, before objects are made of them.

    An empty message takes two bytes in a file, and a hundred in memory.

    Args:
        name: of the message.
        content: its encoding.

    Raises:
        ValueError: it has too many fields, or its lengths lie.
    """
    known = {
        message: {number: kind.rstrip("*") for _, number, kind, *_ in fields}
        for message, fields in _MESSAGES.items()
    }
    pending, count = [(name, 0, len(content))], 0  # message, and where it lies
    while pending:
        message, at, end = pending.pop()
        while at < end:
            count += 1
            tag, at = _varint(content, at, end)
            wire, kind = tag & 7, known[message].get(tag >> 3)
            if wire == _VARINT:
                _, at = _varint(content, at, end)
            elif wire in (_FIXED32, _FIXED64):
                at += 4 if wire == _FIXED32 else 8
            elif wire == _BYTES:
                length, at = _varint(content, at, end)
                if kind in known:
                    pending.append((kind, at, at + length))
                elif kind not in (None, "bytes", "string"):
                    count += length  # packed numbers
                at += length
            else:
                raise ValueError(f"wire type {wire}")
            if at > end:
                raise ValueError("a field is longer than its message")
            if count > _MAX_FIELDS:
                raise ValueError(f"more than {_MAX_FIELDS:,} fields")


def _varint(content: bytes, at: int, end: int) -> tuple[int, int]:
    """A number of 7 bits a byte, and where it ends."""
    value = 0
    for shift in range(0, 70, 7):
        if at >= end:
            raise ValueError("it ends in the middle of a number")
        value |= (content[at] & 0x7F) << shift
        at += 1
        if content[at - 1] < 0x80:
            return value, at
    raise ValueError("a number has too many bytes")
