"""What an objective wants to see of each location, and the random numbers for it.

Axes: n locations of a batch, m images (seasons) of a location, v views, c channels.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ssl4eco_training.random import UInt64s, uniform

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
_SEASONS, _FIRST_VIEW = 2, 16
"""Streams of random numbers; view v has the stream ``_FIRST_VIEW + v``."""
_TRIES = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class ViewPlan:
    """One view of a location: of which of its drawn images, and whether with artificial augmentation."""

    image: int
    augment: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Augmentation:
    """Probabilities and ranges of the artificial augmentation, and of the crop (defaults: SeCo-Eco)."""

    jitter_probability: float = 0.8
    brightness: tuple[float, float] = (0.6, 1.4)
    contrast: tuple[float, float] = (0.6, 1.4)
    grey_probability: float = 0.2
    blur_probability: float = 0.5
    blur_sigma_px: tuple[float, float] = (0.1, 2.0)
    flip_probability: float = 0.5
    crop_scale: tuple[float, float] = (0.2, 1.0)
    crop_ratio: tuple[float, float] = (3 / 4, 4 / 3)


@dataclass(frozen=True, slots=True, kw_only=True)
class ViewDraws:
    """The random numbers of one view of n locations; without augmentation only ``box`` counts.

    ``box`` ``(n, 4)``: left, top, width, height of the crop as shares of the side. ``brightness`` ``(n,)``
    and ``contrast`` ``(n, c)`` are factors (1: none), ``grey`` ``(n,)`` and ``flip`` ``(n,)`` bool,
    ``sigma_px`` ``(n,)`` of the blur (0: none).
    """

    box: Floats
    brightness: Floats
    contrast: Floats
    grey: npt.NDArray[np.bool_]
    sigma_px: Floats
    flip: npt.NDArray[np.bool_]


def draw_seasons(seed: int, epochs: Ints, keys: UInt64s, present: npt.NDArray[np.bool_], images: int) -> Ints:
    """``(n, images)`` seasons of each location, drawn without replacement from the ``present`` ``(n, s)``.

    With fewer seasons than images the drawn ones come again from the second on: two seasons and three images
    give a, b, b. Raises ``ValueError`` for a location without any season.
    """
    if not present.any(axis=1).all():
        raise ValueError(f"{int((~present.any(axis=1)).sum())} locations have no season")
    draws = uniform(seed, epochs, keys, _SEASONS, present.shape[1])
    order = np.argsort(np.where(present, draws, 2.0), axis=1, kind="stable")
    count = present.sum(axis=1, keepdims=True)
    place = np.minimum(np.arange(images)[None, :], count - 1)
    seasons: Ints = np.take_along_axis(order, place, axis=1).astype(np.int64)
    return seasons


def draw_view(
    seed: int, epochs: Ints, keys: UInt64s, view: int, channels: int, how: Augmentation
) -> ViewDraws:
    """The draws of view number ``view`` for samples ``keys`` ``(n,)`` in their ``epochs`` ``(n,)``."""
    u = uniform(seed, epochs, keys, _FIRST_VIEW + view, 7 + channels + 4 * _TRIES)
    jitter = u[:, 0] < how.jitter_probability
    blur = u[:, 1] < how.blur_probability
    contrast = np.where(jitter[:, None], _between(u[:, 7 : 7 + channels], how.contrast), 1.0)
    return ViewDraws(
        box=_crop(u[:, 7 + channels :].reshape(-1, _TRIES, 4), how),
        brightness=np.where(jitter, _between(u[:, 2], how.brightness), 1.0),
        contrast=contrast,
        grey=u[:, 3] < how.grey_probability,
        sigma_px=np.where(blur, _between(u[:, 4], how.blur_sigma_px), 0.0),
        flip=u[:, 5] < how.flip_probability,
    )


def _between(u: Floats, bounds: tuple[float, float]) -> Floats:
    return bounds[0] + u * (bounds[1] - bounds[0])


def _crop(u: Floats, how: Augmentation) -> Floats:
    """Boxes of random area and ratio that lie inside: the first of ``_TRIES``, else the whole patch.

    The ratio is uniform in its logarithm (Szegedy et al. 2015, as torchvision's RandomResizedCrop has it).
    """
    area = _between(u[..., 0], how.crop_scale)
    low, high = np.log(how.crop_ratio)
    ratio = np.exp(low + u[..., 1] * (high - low))
    width, height = np.sqrt(area * ratio), np.sqrt(area / ratio)
    fits = (width <= 1) & (height <= 1)
    first = np.argmax(fits, axis=1)
    rows = np.arange(len(u))
    w, h = width[rows, first], height[rows, first]
    left, top = u[rows, first, 2] * (1 - w), u[rows, first, 3] * (1 - h)
    boxes = np.stack([left, top, w, h], axis=1)
    return np.where(fits.any(axis=1)[:, None], boxes, np.array([0.0, 0.0, 1.0, 1.0]))
