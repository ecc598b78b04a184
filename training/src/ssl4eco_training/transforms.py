"""From stored DN to what an encoder sees: whole batches, on their device, nothing that waits for it.

Axes: N samples, C channels, Y, X pixels. All is float32, inside autocast too.

A is the artificial augmentation of the whole patch, P the crop after it (:class:`~ssl4eco_training.views`).
A pixel without data (0 in any of the wanted bands) is 0 in every channel before A and after A, moved by the
flip; it counts in no mean. Blur and crop are plain: next to such pixels they mix zeros in.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache

import torch
from torch import Tensor
from torch.nn import functional

from ssl4eco_training.batch import Batch, ViewTensors
from ssl4eco_training.inputs import DN_SCALE, NDVI_SCALE, InputSpec
from ssl4eco_training.views import ViewPlan

BLUR_RADIUS_PX = 6
"""Three deviations of the widest blur."""
_OWN_CORNER = "r60"
"""60 m pixels have a corner of their own, other than the patch's, so they cannot be laid under the others."""
_SMALLEST_SIGMA_PX = 1e-2
"""All weight on the middle: what a blur of 0 is."""


def channels_of(
    pixels: Mapping[str, Tensor], bands: Mapping[str, tuple[str, ...]], spec: InputSpec
) -> Tensor:
    """``(N, C, Y, X)`` float32: the wanted bands in DN, then NDVI x 10 000, negative as 0, if wanted.

    ``pixels`` are arrays ``(N, band, y, x)`` of DN by name, ``bands`` what each holds. Coarser arrays are
    brought to the finest one's pixels bilinearly, aligned by pixel area (``align_corners=False``). A pixel
    where any wanted band has no data is 0 in every channel; a coarse one lacks all it covers. Raises
    ``ValueError`` for a band that is not there, or only at 60 m.
    """
    places = _places(bands, spec)
    arrays = {name: pixels[name] for name in dict.fromkeys(name for name, _ in places.values())}
    side = max(_side(array) for array in arrays.values())
    fine = {name: _resized(array.float(), side) for name, array in arrays.items()}
    missing = _missing(arrays, places, side)
    images_NCYX = torch.stack([fine[name][:, at] for name, at in places.values()], dim=1)
    images_NCYX.masked_fill_(missing, 0.0)
    return torch.cat([images_NCYX, ndvi_channel(images_NCYX, spec)], dim=1) if spec.ndvi else images_NCYX


def ndvi_channel(images_NCYX: Tensor, spec: InputSpec) -> Tensor:
    """``(N, 1, Y, X)`` NDVI x 10 000, negative as 0, of the bands B04 and B08; 0 where both are 0 or less."""
    red, infrared = (images_NCYX[:, spec.bands.index(band)].clamp(min=0) for band in ("B04", "B08"))
    ndvi = (infrared - red) / (infrared + red).clamp(min=1e-6)
    return (ndvi.clamp(min=0) * NDVI_SCALE)[:, None]


def make_views(batch: Batch, plans: Sequence[ViewPlan], spec: InputSpec) -> list[Tensor]:
    """The views ``(N, C, px, px)`` in the order of ``plans``, scaled, on the batch's device.

    Brightness for all channels, contrast of each around its mean, grey (the mean of the channels), blur,
    flip; then the crop. With *reference* scaling NDVI is a channel like the others; with *standardised* it
    is computed again after brightness and contrast.
    """
    if len(plans) != len(batch.views):
        raise ValueError(f"the batch was drawn for {len(batch.views)} views, not for {len(plans)}")
    device = next(iter(batch.pixels.values())).device
    with torch.no_grad(), torch.autocast(device.type, enabled=False):
        whole: dict[int, Tensor] = {}
        for image in dict.fromkeys(plan.image for plan in plans):
            pixels = {name: array[:, image] for name, array in batch.pixels.items()}
            whole[image] = channels_of(pixels, batch.bands, spec)
        views = []
        for plan, draws in zip(plans, batch.views, strict=True):
            images = augmented(whole[plan.image], draws, spec) if plan.augment else whole[plan.image]
            views.append(scaled(cropped(images, draws.box, spec.image_px), spec))
    return views


def augmented(images_NCYX: Tensor, draws: ViewTensors, spec: InputSpec) -> Tensor:
    """A: the same shape, in DN. Pixels that are 0 in all channels stay so."""
    there = (images_NCYX != 0).any(dim=1, keepdim=True)
    images = _contrast(images_NCYX * _per_sample(draws.brightness), draws.contrast[:, :, None, None], there)
    if spec.ndvi and spec.scaling == "standardised":
        images = torch.cat([images[:, :-1], ndvi_channel(images, spec)], dim=1)
    images = torch.where(_per_sample(draws.grey), images.mean(dim=1, keepdim=True), images)
    images = blurred(images * there, draws.sigma_px) * there
    return torch.where(_per_sample(draws.flip), images.flip(-1), images)


def blurred(images_NCYX: Tensor, sigma_px: Tensor) -> Tensor:
    """Gaussian blur with a deviation ``(N,)`` in pixels for each sample, borders reflected.

    The kernel ends at ``BLUR_RADIUS_PX`` and sums to 1; at 0 nothing changes.
    """
    n, c, y, x = images_NCYX.shape
    if min(y, x) <= BLUR_RADIUS_PX:
        raise ValueError(f"images must have more than {BLUR_RADIUS_PX} pixels a side, got {x} x {y}")
    steps = torch.arange(-BLUR_RADIUS_PX, BLUR_RADIUS_PX + 1, device=images_NCYX.device)
    weights_NK = torch.exp(-0.5 * (steps / sigma_px.clamp(min=_SMALLEST_SIGMA_PX)[:, None]) ** 2)
    weights_NK = weights_NK / weights_NK.sum(dim=1, keepdim=True)
    kernel = weights_NK.repeat_interleave(c, dim=0, output_size=n * c)[:, None]
    border = [BLUR_RADIUS_PX] * 2
    planes = images_NCYX.reshape(1, n * c, y, x)
    along = functional.conv2d(
        functional.pad(planes, (*border, 0, 0), "reflect"), kernel[:, :, None], groups=n * c
    )
    return functional.conv2d(
        functional.pad(along, (0, 0, *border), "reflect"), kernel[..., None], groups=n * c
    ).reshape(n, c, y, x)


def cropped(images_NCYX: Tensor, box_N4: Tensor, px: int) -> Tensor:
    """P: ``(N, C, px, px)``, the boxes (left, top, width, height as shares of the side), bilinear.

    The centre of output pixel i samples the patch at ``left + width (i + 0.5) / px``; beyond the patch its
    border goes on. This is not quite a crop and a resize after it: boxes begin and end between pixels, the
    samples at a box's edge see the pixels beside it, and a box of more than ``px`` pixels is not smoothed.
    """
    centres = (torch.arange(px, device=images_NCYX.device, dtype=torch.float32) + 0.5) / px
    x_NX = 2 * (box_N4[:, 0:1] + box_N4[:, 2:3] * centres) - 1
    y_NY = 2 * (box_N4[:, 1:2] + box_N4[:, 3:4] * centres) - 1
    grid = torch.stack([x_NX[:, None, :].expand(-1, px, -1), y_NY[:, :, None].expand(-1, -1, px)], dim=-1)
    return functional.grid_sample(
        images_NCYX, grid, mode="bilinear", padding_mode="border", align_corners=False
    )


def centre(images_NCYX: Tensor, px: int) -> Tensor:
    """``(N, C, px, px)``: the middle of images that are large enough, smaller ones resized bilinearly."""
    y, x = images_NCYX.shape[-2:]
    if min(y, x) < px:
        return _resized(images_NCYX, (px, px))
    top, left = (y - px) // 2, (x - px) // 2
    return images_NCYX[..., top : top + px, left : left + px]


def scaled(images_NCYX: Tensor, spec: InputSpec) -> Tensor:
    """DN as the encoder takes them: over 255, or less the mean over the deviation.

    In the latter pixels that are 0 in all bands, which have no data, become 0: the mean.
    """
    if spec.scaling == "reference":
        return images_NCYX / DN_SCALE
    mean, std = _statistics(spec, images_NCYX.device)
    there = (images_NCYX != 0).any(dim=1, keepdim=True)
    return (images_NCYX - mean) / std * there


def _places(bands: Mapping[str, tuple[str, ...]], spec: InputSpec) -> dict[str, tuple[str, int]]:
    """Of each wanted band its array and its place there."""
    known = {band: (name, i) for name, held in bands.items() for i, band in enumerate(held)}
    unfit = [band for band in spec.bands if known.get(band, (_OWN_CORNER,))[0] == _OWN_CORNER]
    if unfit:
        fit = [band for band, (name, _) in known.items() if name != _OWN_CORNER]
        raise ValueError(f"bands must be of {', '.join(fit)} (10 m or 20 m), got {', '.join(unfit)}")
    return {band: known[band] for band in spec.bands}


def _missing(
    arrays: Mapping[str, Tensor], places: Mapping[str, tuple[str, int]], side: tuple[int, int]
) -> Tensor:
    """``(N, 1, Y, X)`` bool: where a wanted band has no data."""
    found = []
    for name, array in arrays.items():
        wanted = [at for where, at in places.values() if where == name]
        gone = torch.stack([array[:, at] == 0 for at in wanted]).any(dim=0)[:, None]
        if _side(gone) != side:
            gone = functional.interpolate(gone.float(), side, mode="nearest-exact") > 0
        found.append(gone)
    return torch.stack(found).any(dim=0)


def _resized(images_NCYX: Tensor, side: tuple[int, int]) -> Tensor:
    if _side(images_NCYX) == side:
        return images_NCYX
    return functional.interpolate(images_NCYX, side, mode="bilinear", align_corners=False)


def _side(images: Tensor) -> tuple[int, int]:
    """(y, x) of the last two axes."""
    return images.shape[-2], images.shape[-1]


def _contrast(images_NCYX: Tensor, factor_NC11: Tensor, there_N1YX: Tensor) -> Tensor:
    """Differences from each channel's mean over the pixels with data, times a factor."""
    count = there_N1YX.sum(dim=(-2, -1), keepdim=True).clamp(min=1)
    mean = images_NCYX.sum(dim=(-2, -1), keepdim=True) / count
    return mean + (images_NCYX - mean) * factor_NC11


def _per_sample(values_N: Tensor) -> Tensor:
    return values_N[:, None, None, None]


@lru_cache(maxsize=16)
def _statistics(spec: InputSpec, device: torch.device) -> tuple[Tensor, Tensor]:
    """Mean and deviation ``(C, 1, 1)``; kept, for a copy to the device in each step would wait for it."""
    mean, std = (torch.tensor(values, device=device)[:, None, None] for values in (spec.mean, spec.std))
    return mean, std
