"""Arithmetic on whole pixels.

A pixel is one 32-bit number: red, green, blue and alpha from the lowest byte up, colours already multiplied by
alpha. Ordinary integer arithmetic then mixes two channels at a time, once in the even and once in the odd bytes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from downstream.providers.embedded.brush import Array

    Pixels = NDArray[np.uint32]

_EVEN, _ODD, _HALF, _BYTE = np.uint32(0x00FF00FF), np.uint32(0xFF00FF00), np.uint32(0x00800080), np.uint32(8)


class Between(NamedTuple):
    """Where rows or columns are taken from: the pixel before, the pixel after, and the latter's share in 256."""

    before: NDArray[np.int64]
    after: NDArray[np.int64]
    share: Pixels | None

    @classmethod
    def of(cls, positions: Array, size: int) -> Between:
        """Positions in pixels; beyond ``size`` the pixels begin again."""
        steps = np.rint(positions * 256).astype(np.int64)
        before, share = steps >> 8, (steps & 255).astype(np.uint32)
        return cls(before % size, (before + 1) % size, share if share.any() else None)


def pack(colour: Array, alpha: Array, grain: Array | float) -> Pixels:
    """Pixels of ``colour`` (3 planes, 0-1) as solid as ``alpha`` (0-1) says, with ``grain`` (in 255ths) on them."""
    solid = np.rint(alpha * 255)
    channels = np.empty((*alpha.shape, 4), np.uint8)
    for channel in range(3):
        channels[..., channel] = np.clip((colour[channel] * 255 + grain) * alpha + 0.5, 0, solid)
    channels[..., 3] = solid
    return channels.view(np.uint32)[..., 0]


def sample(pixels: Pixels, columns: Between, rows: Between) -> Pixels:
    """The pixels at the crossings of ``rows`` and ``columns``, each mixed from its four neighbours."""
    if rows.share is None:
        return _across(pixels[rows.before], columns)
    # Across first: on coarse paper a few lines then serve many rows.
    start, end = min(rows.before.min(), rows.after.min()), max(rows.before.max(), rows.after.max()) + 1
    lines = _across(pixels[start:end], columns)
    return _mix(lines[rows.before - start], lines[rows.after - start], rows.share[:, None])


def _across(lines: Pixels, columns: Between) -> Pixels:
    before = lines.take(columns.before, axis=1)
    return before if columns.share is None else _mix(before, lines.take(columns.after, axis=1), columns.share)


def fade(pixels: Pixels, opacity: float) -> Pixels:
    """``pixels`` with only that part of their colour and alpha."""
    part = np.uint32(round(opacity * 256))
    return ((((pixels & _EVEN) * part) >> _BYTE) & _EVEN) | ((((pixels >> _BYTE) & _EVEN) * part) & _ODD)


def over(frame: Pixels, pixels: Pixels) -> None:
    """Lays ``pixels`` over ``frame``."""
    rest = np.uint32(256) - (pixels >> np.uint32(24))
    even = (frame & _EVEN) * rest
    even >>= _BYTE
    even &= _EVEN
    odd = ((frame >> _BYTE) & _EVEN) * rest
    odd &= _ODD
    odd |= even
    odd += pixels
    frame[:] = odd


def _mix(first: Pixels, second: Pixels, share: Pixels) -> Pixels:
    rest = np.uint32(256) - share
    even = (first & _EVEN) * rest
    even += (second & _EVEN) * share
    even += _HALF
    even >>= _BYTE
    even &= _EVEN
    odd = ((first >> _BYTE) & _EVEN) * rest
    odd += ((second >> _BYTE) & _EVEN) * share
    odd += _HALF
    odd &= _ODD
    odd |= even
    return odd
