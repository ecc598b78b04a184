"""Random numbers from counters: what a draw gives depends on its place alone, not on who draws it or when.

Philox-4x32-10 (Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3", SC'11), over whole arrays.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

UInt64s = npt.NDArray[np.uint64]
_MULTIPLIERS = np.uint64(0xD2511F53), np.uint64(0xCD9E8D57)
_WEYL = np.uint64(0x9E3779B9), np.uint64(0xBB67AE85)
_LOW, _HALF = np.uint64(0xFFFFFFFF), np.uint64(32)
_ROUNDS = 10


def philox(counter: tuple[UInt64s, ...], key: tuple[UInt64s, ...]) -> tuple[UInt64s, ...]:
    """Four arrays of 32 random bits (in uint64) for each counter of four words and key of two words.

    The words are uint64 below 2**32 and broadcast against each other.
    """
    c0, c1, c2, c3 = (np.asarray(word, dtype=np.uint64) for word in counter)
    k0, k1 = (np.asarray(word, dtype=np.uint64) for word in key)
    for _ in range(_ROUNDS):
        left, right = _MULTIPLIERS[0] * c0, _MULTIPLIERS[1] * c2
        c0, c1, c2, c3 = (right >> _HALF) ^ c1 ^ k0, right & _LOW, (left >> _HALF) ^ c3 ^ k1, left & _LOW
        k0, k1 = (k0 + _WEYL[0]) & _LOW, (k1 + _WEYL[1]) & _LOW
    return c0, c1, c2, c3


def uniform(
    seed: int, epoch: npt.ArrayLike, item: UInt64s, stream: int, count: int
) -> npt.NDArray[np.float64]:
    """``(*item.shape, count)`` numbers in [0, 1), 32 bits each.

    ``item`` is what is drawn for, as 64-bit names (:func:`names`); ``epoch`` broadcasts against it and is
    below 2**24; ``stream`` (below 2**8) keeps draws for different purposes apart.
    """
    if not 0 <= stream < 256:
        raise ValueError(f"stream must be in [0, 256), got {stream}")
    epochs = np.asarray(epoch, dtype=np.uint64)
    if epochs.size and epochs.max() >= 1 << 24:
        raise ValueError(f"epoch must be below 2**24, got {epochs.max()}")
    purpose = (epochs << np.uint64(8)) | np.uint64(stream)
    key = np.array([seed & 0xFFFFFFFF]), np.array([seed >> 32 & 0xFFFFFFFF])
    blocks = np.arange(-(-count // 4), dtype=np.uint64)
    item, purpose = np.asarray(item, dtype=np.uint64)[..., None], np.asarray(purpose)[..., None]
    words = philox((blocks, purpose, item & _LOW, item >> _HALF), tuple(k.astype(np.uint64) for k in key))
    bits = np.stack(np.broadcast_arrays(*words), axis=-1)
    numbers: npt.NDArray[np.float64] = bits.reshape(*bits.shape[:-2], -1)[..., :count] * 2.0**-32
    return numbers


def names(identifiers: Iterable[str]) -> UInt64s:
    """``(n,)`` 64-bit names of texts, the same on every machine and in every order."""
    digests = [hashlib.blake2b(text.encode(), digest_size=8).digest() for text in identifiers]
    return np.frombuffer(b"".join(digests), dtype="<u8").astype(np.uint64)
