"""Images as PNG (ISO/IEC 15948), by numpy and zlib alone."""

from __future__ import annotations

import struct
import zlib

import numpy as np

from polyregions.network import ByteArray

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_RGBA = 6
_SUB, _UP, _PAETH = 1, 2, 4


def encode(pixels: ByteArray) -> bytes:
    """Write an image, (rows, columns, 4) uint8, red, green, blue and opacity from the top."""
    rows, columns, _ = pixels.shape
    header = struct.pack(">IIBBBBB", columns, rows, 8, _RGBA, 0, 0, 0)
    return _SIGNATURE + b"".join(
        _chunk(kind, data)
        for kind, data in (
            (b"IHDR", header),
            (b"IDAT", zlib.compress(_filtered(pixels).tobytes(), 9)),
            (b"IEND", b""),
        )
    )


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def _filtered(pixels: ByteArray) -> ByteArray:
    """Every row as its differences from a prediction, the best of three, behind its number."""
    rows, columns, _ = pixels.shape
    image = pixels.astype(np.int16)
    padded = np.pad(image, [(1, 0), (1, 0), (0, 0)])
    left, above, corner = padded[1:, :-1], padded[:-1, 1:], padded[:-1, :-1]
    # The neighbour that is nearest to left + above - corner; of equally near ones the first.
    guess = left + above - corner
    distance = np.abs(guess - np.stack([left, above, corner]))
    paeth = np.choose(distance.argmin(axis=0), [left, above, corner])
    kinds = np.array([_SUB, _UP, _PAETH], dtype=np.uint8)
    differences = (image - np.stack([left, above, paeth])).astype(np.uint8)
    # Small differences, of either sign, compress best: the usual rule for what to take.
    size = np.abs(differences.view(np.int8).astype(np.int16)).sum(axis=(2, 3), dtype=np.int64)
    best = size.argmin(axis=0)
    data = differences[best, np.arange(rows)].reshape(rows, 4 * columns)
    return np.concatenate([kinds[best][:, None], data], axis=1)
