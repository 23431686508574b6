"""TFRecord files of `tf.train.Example`s, without TensorFlow.

Importing TensorFlow would cost each worker process 4 s and 0.4 GB. The pure Python checksum that
comes with TensorBoard takes as long as preparing the images does (9 MB/s); the one here, which
NumPy computes for many records at once, takes a twentieth of that.

A record is its length, uint64, a checksum of these 8 bytes, the data, and a checksum of the data,
all little-endian (tensorflow/core/lib/io/record_writer.h).
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence

import numpy as np

_POLYNOMIAL = np.uint32(0x82F63B78)  # CRC32C (Castagnoli), RFC 3720, least significant bit first
_BLOCK = 256  # bytes: a message is cut into blocks, and the checksums of all blocks grow together
_BATCH = 64  # records that are processed together; they fit into the processor's cache
_BYTES, _INT64S = 1, 3  # fields of tf.train.Feature


def serialize_example(jpeg: bytes, label: int, file_name: str) -> bytes:
    """One record: the features "file_name", "image" and "label", sorted as TensorFlow sorts them.

    The bytes equal `tf.train.Example(...).SerializeToString(deterministic=True)`.
    """
    features = (
        ("file_name", _BYTES, file_name.encode(errors="surrogateescape")),
        ("image", _BYTES, jpeg),
        ("label", _INT64S, _varint(label)),
    )
    entries = (
        _field(1, _field(1, name.encode()) + _field(2, _field(kind, _field(1, value))))
        for name, kind, value in features
    )
    return _field(1, b"".join(entries))


def frame_records(records: Sequence[bytes]) -> Iterator[bytes]:
    """The bytes of a TFRecord file, piece by piece."""
    for first in range(0, len(records), _BATCH):
        batch = records[first : first + _BATCH]
        lengths = [len(record).to_bytes(8, "little") for record in batch]
        checksums = [_mask(crc32c(messages)) for messages in (lengths, batch)]
        for length, record, *crcs in zip(lengths, batch, *checksums, strict=True):
            yield length + crcs[0] + record + crcs[1]


def _field(number: int, data: bytes) -> bytes:
    """A length-delimited field of a protocol buffer."""
    return b"".join((bytes([number << 3 | 2]), _varint(len(data)), data))


def _varint(value: int) -> bytes:
    groups = bytearray()
    while value > 0x7F:
        groups.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*groups, value])


def _mask(crcs: np.ndarray) -> list[bytes]:
    """Masks checksums as TensorFlow does, because the data may contain checksums too."""
    rotated = crcs >> np.uint32(15) | crcs << np.uint32(17)
    return [crc.tobytes() for crc in (rotated + np.uint32(0xA282EAD8)).astype("<u4")]


def crc32c(messages: Sequence[bytes]) -> np.ndarray:
    """Checksums of messages of at least 4 bytes, uint32 [N].

    Without its inversions, a CRC does not change if zeros are put before a message. So zeros before
    each message make whole blocks. The checksums of all blocks are computed side by side, two bytes
    at a time, and then combined.
    """
    step, forward_low, forward_high = _tables()
    blocks = np.array([-(-len(message) // _BLOCK) for message in messages])
    ends = np.cumsum(blocks)
    data = np.zeros((ends[-1], _BLOCK), np.uint8)  # [B, 256]
    flat = data.reshape(-1)
    for message, end in zip(messages, ends * _BLOCK, strict=True):
        start = end - len(message)
        flat[start:end] = np.frombuffer(message, np.uint8)
        flat[start : start + 4] ^= 0xFF  # the inversion at the start
    of_blocks = np.zeros(len(data), np.uint32)
    for pair in np.ascontiguousarray(data.view("<u2").T):  # [B], 128 times
        of_blocks = step[(of_blocks ^ pair) & 0xFFFF] ^ of_blocks >> np.uint32(16)
    crcs = np.zeros(len(messages), np.uint32)
    for number in range(blocks.max()):
        longer = np.flatnonzero(blocks > number)
        before = crcs[longer]
        moved = forward_low[before & 0xFFFF] ^ forward_high[before >> np.uint32(16)]
        crcs[longer] = moved ^ of_blocks[(ends - blocks)[longer] + number]
    return ~crcs  # the inversion at the end


@functools.cache
def _tables() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Tables: a checksum after two bytes; its lower and its upper half after a block of zeros."""
    numbers = np.arange(2**16, dtype=np.uint32)
    step = numbers
    for _ in range(16):
        step = np.where(step & 1, step >> 1 ^ _POLYNOMIAL, step >> 1)
    bits = np.uint32(1) << np.arange(32, dtype=np.uint32)
    for _ in range(_BLOCK // 2):
        bits = step[bits & 0xFFFF] ^ bits >> np.uint32(16)
    forward = np.zeros((2, 2**16), np.uint32)
    for bit in range(16):
        forward[:, numbers >> bit & 1 == 1] ^= bits[[bit, bit + 16], None]
    return step, *forward
