"""From stored DN to what an encoder sees: whole batches, on their device, nothing that waits for it.

Axes: N samples, C channels, Y, X pixels; D planes: the channels, then the mask, 1 where a pixel has data and
0 where it has none. All is float32, inside autocast too.

A is the artificial augmentation of the whole patch, P the crop after it (:class:`~ssl4eco_training.views`).
A pixel has no data where any of the wanted bands is 0. It counts in no mean. Upsampling, blur and crop give
the weighted mean of the pixels that have data; a pixel less than half of whose weight has data has none, and
is 0 in every channel, scaled too. So a coarse pixel without data leaves none to all that it covers, a blur
closes small holes and takes pixels that stand alone.
"""

from __future__ import annotations

import math
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
_HALF = 0.499
"""Of the weight; a little less, so that rounding does not decide where it is half."""


def channels_of(
    pixels: Mapping[str, Tensor], bands: Mapping[str, tuple[str, ...]], spec: InputSpec
) -> Tensor:
    """``(N, C, Y, X)`` float32: the wanted bands in DN, then NDVI x 10 000, negative as 0, if wanted.

    As :func:`planes_of`, without the mask.
    """
    return planes_of(pixels, bands, spec)[:, :-1]


def planes_of(pixels: Mapping[str, Tensor], bands: Mapping[str, tuple[str, ...]], spec: InputSpec) -> Tensor:
    """``(N, D, Y, X)`` float32: the channels of :func:`channels_of`, then the mask.

    ``pixels`` are arrays ``(N, band, y, x)`` of DN by name, ``bands`` what each holds. Coarser arrays are
    brought to the finest one's pixels bilinearly, aligned by pixel area (``align_corners=False``). A pixel
    where any wanted band has no data is 0 in every plane. Raises ``ValueError`` for a band that is not
    there, or only at 60 m.
    """
    places = _places(bands, spec)
    names = dict.fromkeys(name for name, _ in places.values())
    side = max(_side(pixels[name]) for name in names)
    fine: dict[str, Tensor] = {}
    masks: list[Tensor] = []
    for name in names:
        wanted = {band: at for band, (where, at) in places.items() if where == name}
        stored = torch.stack([pixels[name][:, at].float() for at in wanted.values()], dim=1)
        planes = _resized(_with_mask(stored, (stored != 0).all(dim=1, keepdim=True)), side)
        fine |= {band: planes[:, i] for i, band in enumerate(wanted)}
        masks.append(planes[:, -1:])
    there = torch.stack(masks).amin(dim=0)
    images_NCYX = torch.stack([fine[band] for band in spec.bands], dim=1) * there
    ndvi = [ndvi_channel(images_NCYX, spec)] if spec.ndvi else []
    return torch.cat([images_NCYX, *ndvi, there], dim=1)


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
            whole[image] = planes_of(pixels, batch.bands, spec)
        views = []
        for plan, draws in zip(plans, batch.views, strict=True):
            planes = augmented(whole[plan.image], draws, spec) if plan.augment else whole[plan.image]
            planes = cropped(planes, draws.box, spec.image_px)
            views.append(scaled(planes[:, :-1], spec, planes[:, -1:]))
    return views


def augmented(planes_NDYX: Tensor, draws: ViewTensors, spec: InputSpec) -> Tensor:
    """A: the same shape, in DN; the mask is blurred and flipped as the channels are."""
    images, there = planes_NDYX[:, :-1], planes_NDYX[:, -1:]
    images = _contrast(images * _per_sample(draws.brightness), draws.contrast[:, :, None, None], there)
    if spec.ndvi and spec.scaling == "standardised":
        images = torch.cat([images[:, :-1], ndvi_channel(images, spec)], dim=1)
    images = torch.where(_per_sample(draws.grey), images.mean(dim=1, keepdim=True), images)
    planes = blurred(_with_mask(images, there), draws.sigma_px)
    return torch.where(_per_sample(draws.flip), planes.flip(-1), planes)


def blurred(planes_NDYX: Tensor, sigma_px: Tensor) -> Tensor:
    """Gaussian blur with a deviation ``(N,)`` in pixels for each sample, borders reflected.

    The kernel ends at ``BLUR_RADIUS_PX`` and sums to 1; at 0 nothing changes, yet costs as much: to pick the
    others the host would have to wait for the device. Raises ``ValueError`` for images of no more pixels a
    side than the kernel's end.
    """
    n, d, y, x = planes_NDYX.shape
    if min(y, x) <= BLUR_RADIUS_PX:
        raise ValueError(f"images must have more than {BLUR_RADIUS_PX} pixels a side, got {x} x {y}")
    steps = torch.arange(-BLUR_RADIUS_PX, BLUR_RADIUS_PX + 1, device=planes_NDYX.device)
    weights_NK = torch.exp(-0.5 * (steps / sigma_px.clamp(min=_SMALLEST_SIGMA_PX)[:, None]) ** 2)
    weights_NK = weights_NK / weights_NK.sum(dim=1, keepdim=True)
    kernel = weights_NK.repeat_interleave(d, dim=0, output_size=n * d)[:, None]
    border = [BLUR_RADIUS_PX] * 2
    planes = planes_NDYX.reshape(1, n * d, y, x)
    along = functional.conv2d(
        functional.pad(planes, (*border, 0, 0), "reflect"), kernel[:, :, None], groups=n * d
    )
    both = functional.conv2d(
        functional.pad(along, (0, 0, *border), "reflect"), kernel[..., None], groups=n * d
    )
    return _of_data(both.reshape(n, d, y, x))


def cropped(planes_NDYX: Tensor, box_N4: Tensor, px: int) -> Tensor:
    """P: ``(N, D, px, px)``, the boxes (left, top, width, height as shares of the side), bilinear.

    The centre of output pixel i samples the patch at ``left + width (i + 0.5) / px``; beyond the patch its
    border goes on. This is not quite a crop and a resize after it: boxes begin and end between pixels, the
    samples at a box's edge see the pixels beside it, and a box of more than ``px`` pixels is not smoothed.
    """
    centres = (torch.arange(px, device=planes_NDYX.device, dtype=torch.float32) + 0.5) / px
    x_NX = 2 * (box_N4[:, 0:1] + box_N4[:, 2:3] * centres) - 1
    y_NY = 2 * (box_N4[:, 1:2] + box_N4[:, 3:4] * centres) - 1
    grid = torch.stack([x_NX[:, None, :].expand(-1, px, -1), y_NY[:, :, None].expand(-1, -1, px)], dim=-1)
    return _of_data(
        functional.grid_sample(planes_NDYX, grid, mode="bilinear", padding_mode="border", align_corners=False)
    )


def centre(images_NCYX: Tensor, px: int) -> Tensor:
    """``(N, C, px, px)``: the middle of images that are large enough, smaller ones resized bilinearly.

    Of images that were not augmented: pixels without data are those that are 0 in all channels.
    """
    y, x = images_NCYX.shape[-2:]
    if min(y, x) < px:
        return _resized(_with_mask(images_NCYX, _not_0(images_NCYX)), (px, px))[:, :-1]
    top, left = (y - px) // 2, (x - px) // 2
    return images_NCYX[..., top : top + px, left : left + px]


def scaled(images_NCYX: Tensor, spec: InputSpec, there_N1YX: Tensor | None = None) -> Tensor:
    """DN as the encoder takes them: over 255, or less the mean over the deviation.

    In the latter pixels without data become 0: the mean. ``there_N1YX`` is the mask; None: pixels that are 0
    in all channels have no data, as it is in images that were not augmented.
    """
    if spec.scaling == "reference":
        return images_NCYX / DN_SCALE
    mean, std = _statistics(spec, images_NCYX.device)
    return (images_NCYX - mean) / std * (_not_0(images_NCYX) if there_N1YX is None else there_N1YX)


def _places(bands: Mapping[str, tuple[str, ...]], spec: InputSpec) -> dict[str, tuple[str, int]]:
    """Of each wanted band its array and its place there."""
    known = {band: (name, i) for name, held in bands.items() for i, band in enumerate(held)}
    unfit = [band for band in spec.bands if known.get(band, (_OWN_CORNER,))[0] == _OWN_CORNER]
    if unfit:
        fit = [band for band, (name, _) in known.items() if name != _OWN_CORNER]
        raise ValueError(f"bands must be of {', '.join(fit)} (10 m or 20 m), got {', '.join(unfit)}")
    return {band: known[band] for band in spec.bands}


def _resized(planes_NDYX: Tensor, side: tuple[int, int]) -> Tensor:
    if _side(planes_NDYX) == side:
        return planes_NDYX
    return _of_data(functional.interpolate(planes_NDYX, side, mode="bilinear", align_corners=False))


def _with_mask(images_NCYX: Tensor, there_N1YX: Tensor) -> Tensor:
    """``(N, D, Y, X)``: 0 where there is no data."""
    return torch.cat([images_NCYX * there_N1YX, there_N1YX.to(images_NCYX.dtype)], dim=1)


def _of_data(mixed_NDYX: Tensor) -> Tensor:
    """Weighted means over pixels with data, of planes with 0 where there are none; the mask is 0 and 1 again.

    What the mask became is the share of the weight that has data.
    """
    share = mixed_NDYX[:, -1:]
    return mixed_NDYX / share.masked_fill(share < _HALF, math.inf)


def _not_0(images_NCYX: Tensor) -> Tensor:
    """``(N, 1, Y, X)`` bool: where a channel is not 0."""
    return (images_NCYX != 0).any(dim=1, keepdim=True)


def _side(images: Tensor) -> tuple[int, int]:
    """(y, x) of the last two axes."""
    return images.shape[-2], images.shape[-1]


def _contrast(images_NCYX: Tensor, factor_NC11: Tensor, there_N1YX: Tensor) -> Tensor:
    """Differences from each channel's mean over the pixels with data, times a factor; others hold 0."""
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
