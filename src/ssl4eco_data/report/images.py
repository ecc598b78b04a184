"""Pixels to ``data:`` URIs, so that the page needs no other file."""

from __future__ import annotations

import base64
import io

import numpy as np
import numpy.typing as npt
from PIL import Image

from ssl4eco_data.types import BoolArray, UInt16Array

GAMMA = 1.5
TRUE_COLOUR = (("B04", 0.25), ("B03", 0.25), ("B02", 0.25))
INFRARED = (("B08", 0.5), ("B04", 0.25), ("B03", 0.25))
"""(band, reflectance shown as full brightness) of red, green and blue; the same for every patch."""


def composite(
    patch: UInt16Array, bands: tuple[str, ...], recipe: tuple[tuple[str, float], ...]
) -> npt.NDArray[np.uint8]:
    """RGBA ``(y, x, 4)`` uint8 of a patch ``(band, y, x)``; alpha 0 where a band has no data (0)."""
    planes = [patch[bands.index(band)] for band, _ in recipe]
    scaled = [
        np.clip(plane / (10_000 * full), 0, 1) ** (1 / GAMMA)
        for plane, (_, full) in zip(planes, recipe, strict=True)
    ]
    seen = np.all([plane > 0 for plane in planes], axis=0)
    return np.stack([np.rint(255 * plane).astype(np.uint8) for plane in (*scaled, seen)], axis=-1)


def webp(rgba: npt.NDArray[np.uint8], side_px: int) -> str:
    """A lossy WebP no larger than ``side_px`` as a ``data:`` URI; smaller images keep their pixels."""
    image = Image.fromarray(rgba)
    if max(image.size) > side_px:
        image.thumbnail((side_px, side_px), Image.Resampling.BOX)
    return _uri(image, "webp", quality=70, alpha_quality=50, method=4)


def mask_png(mask: BoolArray, grey: int, alpha: int) -> str:
    """A PNG as a ``data:`` URI: one half-transparent grey where ``mask`` ``(y, x)`` is true."""
    rgba = np.zeros((*mask.shape, 4), dtype=np.uint8)
    rgba[mask] = (grey, grey, grey, alpha)
    return _uri(Image.fromarray(rgba).quantize(2), "png", optimize=True)


def _uri(image: Image.Image, kind: str, **options: object) -> str:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return f"data:image/{kind};base64,{base64.b64encode(buffer.getvalue()).decode()}"
