"""What views should be, image by image and pixel by pixel, with NumPy loops: slow and plain."""

from __future__ import annotations

import math

import numpy as np


def bilinear(plane: np.ndarray, y: float, x: float) -> float:
    """The value at a place, in pixels from the first one's centre; beyond the border the border."""
    height, width = plane.shape
    y, x = min(max(y, 0.0), height - 1.0), min(max(x, 0.0), width - 1.0)
    y0, x0 = min(int(y), height - 1), min(int(x), width - 1)
    y1, x1 = min(y0 + 1, height - 1), min(x0 + 1, width - 1)
    fy, fx = y - y0, x - x0
    above = plane[y0, x0] * (1 - fx) + plane[y0, x1] * fx
    below = plane[y1, x0] * (1 - fx) + plane[y1, x1] * fx
    return float(above * (1 - fy) + below * fy)


def finer(plane: np.ndarray, factor: int) -> np.ndarray:
    """Pixel areas aligned: the first fine centre lies (1 / factor - 1) / 2 before the first coarse one."""
    out = np.empty((plane.shape[0] * factor, plane.shape[1] * factor))
    for i in range(out.shape[0]):
        for j in range(out.shape[1]):
            out[i, j] = bilinear(plane, (i + 0.5) / factor - 0.5, (j + 0.5) / factor - 0.5)
    return out


def ndvi(red: np.ndarray, infrared: np.ndarray) -> np.ndarray:
    out = np.zeros(red.shape)
    for at in np.ndindex(red.shape):
        r, i = max(red[at], 0.0), max(infrared[at], 0.0)
        if r + i > 0:
            out[at] = max((i - r) / (i + r), 0.0) * 10_000
    return out


def channels(ten: dict[str, np.ndarray], twenty: dict[str, np.ndarray], bands: tuple[str, ...]) -> np.ndarray:
    """Bands, then NDVI, ``(c, y, x)``; 0 where one band lacks data."""
    planes = [ten[b].astype(float) if b in ten else finer(twenty[b].astype(float), 2) for b in bands]
    out = np.stack([*planes, ndvi(planes[bands.index("B04")], planes[bands.index("B08")])])
    for i in range(out.shape[1]):
        for j in range(out.shape[2]):
            here = [ten[b][i, j] if b in ten else twenty[b][i // 2, j // 2] for b in bands]
            if min(here) == 0:
                out[:, i, j] = 0
    return out


def reflected(i: int, n: int) -> int:
    return -i if i < 0 else 2 * (n - 1) - i if i >= n else i


def blurred_rows(plane: np.ndarray, sigma: float) -> np.ndarray:
    weights = [math.exp(-0.5 * (k / sigma) ** 2) for k in range(-6, 7)]
    out = np.zeros(plane.shape)
    for i, j in np.ndindex(plane.shape):
        for k, weight in zip(range(-6, 7), weights, strict=True):
            out[i, j] += weight / sum(weights) * plane[i, reflected(j + k, plane.shape[1])]
    return out


def augmented(
    image: np.ndarray,
    brightness: float,
    contrast: np.ndarray,
    grey: bool,
    sigma: float,
    flip: bool,
    again: bool,
) -> np.ndarray:
    """A on ``(c, y, x)``; ``again``: the last channel is the NDVI of channels 2 and 6 after contrast."""
    there = (image != 0).any(axis=0)
    out = image * brightness
    for c in range(len(out)):
        mean = out[c][there].mean() if there.any() else 0.0
        out[c] = mean + contrast[c] * (out[c] - mean)
    if again:
        out[-1] = ndvi(out[2], out[6])
    if grey:
        out = np.repeat(out.mean(axis=0)[None], len(out), axis=0)
    out = out * there
    if sigma > 0:
        out = np.stack([blurred_rows(blurred_rows(plane, sigma).T, sigma).T for plane in out]) * there
    return out[:, :, ::-1] if flip else out


def cropped(image: np.ndarray, box: np.ndarray, px: int) -> np.ndarray:
    left, top, width, height = box
    side_y, side_x = image.shape[1:]
    out = np.empty((len(image), px, px))
    for c, i, j in np.ndindex(out.shape):
        y = (top + height * (i + 0.5) / px) * side_y - 0.5
        x = (left + width * (j + 0.5) / px) * side_x - 0.5
        out[c, i, j] = bilinear(image[c], y, x)
    return out
