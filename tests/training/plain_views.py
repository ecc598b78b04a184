"""What views should be, image by image and pixel by pixel, with NumPy loops: slow and plain.

Images are ``(c, y, x)``, in DN, NaN where there is no data.
"""

from __future__ import annotations

import math

import numpy as np


def weighted(pixels: list[np.ndarray], weights: list[float]) -> np.ndarray:
    """Their mean over those that have data; none where these have less than half of the weight."""
    there = [(pixel, weight) for pixel, weight in zip(pixels, weights, strict=True) if pixel[0] == pixel[0]]
    share = sum(weight for _, weight in there)
    if share < 0.499 * sum(weights):
        return np.full(pixels[0].shape, np.nan)
    return sum(pixel * weight for pixel, weight in there) / share


def bilinear(image: np.ndarray, y: float, x: float) -> np.ndarray:
    """The values at a place, in pixels from the first one's centre; beyond the border the border."""
    height, width = image.shape[1:]
    y, x = min(max(y, 0.0), height - 1.0), min(max(x, 0.0), width - 1.0)
    y0, x0 = min(int(y), height - 1), min(int(x), width - 1)
    y1, x1 = min(y0 + 1, height - 1), min(x0 + 1, width - 1)
    fy, fx = y - y0, x - x0
    corners = [image[:, y0, x0], image[:, y0, x1], image[:, y1, x0], image[:, y1, x1]]
    return weighted(corners, [(1 - fy) * (1 - fx), (1 - fy) * fx, fy * (1 - fx), fy * fx])


def resized(image: np.ndarray, side: int) -> np.ndarray:
    """Pixel areas aligned: the first new centre lies half a new pixel from the image's edge."""
    out = np.empty((len(image), side, side))
    factor_y, factor_x = side / image.shape[1], side / image.shape[2]
    for i in range(side):
        for j in range(side):
            out[:, i, j] = bilinear(image, (i + 0.5) / factor_y - 0.5, (j + 0.5) / factor_x - 0.5)
    return out


def ndvi(red: np.ndarray, infrared: np.ndarray) -> np.ndarray:
    out = red * 0.0  # NaN stays
    for at in np.ndindex(red.shape):
        r, i = max(red[at], 0.0), max(infrared[at], 0.0)
        if r + i > 0:
            out[at] = max((i - r) / (i + r), 0.0) * 10_000
    return out


def known(planes: list[np.ndarray]) -> np.ndarray:
    """DN, NaN where one of the planes is 0."""
    image = np.stack(planes).astype(float)
    for i, j in np.ndindex(image.shape[1:]):
        if min(image[:, i, j]) == 0:
            image[:, i, j] = np.nan
    return image


def channels(ten: dict[str, np.ndarray], twenty: dict[str, np.ndarray], bands: tuple[str, ...]) -> np.ndarray:
    """Bands, then NDVI; no data where one band lacks it."""
    fine = [band for band in bands if band in ten]
    coarse = [band for band in bands if band not in ten]
    planes = dict(zip(fine, known([ten[band] for band in fine]), strict=True))
    side = planes[fine[0]].shape[0]
    planes |= dict(zip(coarse, resized(known([twenty[band] for band in coarse]), side), strict=True))
    out = np.stack([*(planes[band] for band in bands), ndvi(planes["B04"], planes["B08"])])
    for i, j in np.ndindex(out.shape[1:]):
        if np.isnan(out[:, i, j]).any():
            out[:, i, j] = np.nan
    return out


def reflected(i: int, n: int) -> int:
    return -i if i < 0 else 2 * (n - 1) - i if i >= n else i


def blurred(image: np.ndarray, sigma: float) -> np.ndarray:
    out, steps = np.empty(image.shape), range(-6, 7)
    height, width = image.shape[1:]
    weights = [math.exp(-0.5 * (k * k + m * m) / sigma**2) for k in steps for m in steps]
    for i, j in np.ndindex(height, width):
        around = [image[:, reflected(i + k, height), reflected(j + m, width)] for k in steps for m in steps]
        out[:, i, j] = weighted(around, weights)
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
    """A; ``again``: the last channel is the NDVI of channels 2 and 6 after contrast."""
    out = image * brightness
    for c in range(len(out)):
        there = out[c][~np.isnan(out[c])]
        mean = there.mean() if there.size else 0.0
        out[c] = mean + contrast[c] * (out[c] - mean)
    if again:
        out[-1] = ndvi(out[2], out[6])
    if grey:
        out = np.repeat(out.mean(axis=0)[None], len(out), axis=0)
    if sigma > 0:
        out = blurred(out, sigma)
    return out[:, :, ::-1] if flip else out


def cropped(image: np.ndarray, box: np.ndarray, px: int) -> np.ndarray:
    left, top, width, height = box
    side_y, side_x = image.shape[1:]
    out = np.empty((len(image), px, px))
    for i, j in np.ndindex(px, px):
        y = (top + height * (i + 0.5) / px) * side_y - 0.5
        x = (left + width * (j + 0.5) / px) * side_x - 0.5
        out[:, i, j] = bilinear(image, y, x)
    return out
