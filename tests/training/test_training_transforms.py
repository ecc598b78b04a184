"""Views on whole batches against plain ones, image by image."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import plain_views
import pytest
import torch
from torch import Tensor
from torch.nn import functional
from torch.utils._python_dispatch import TorchDispatchMode

from ssl4eco_training.batch import Batch, ViewTensors
from ssl4eco_training.inputs import BANDS, InputSpec
from ssl4eco_training.random import names
from ssl4eco_training.transforms import (
    augmented,
    blurred,
    centre,
    channels_of,
    cropped,
    make_views,
    planes_of,
    scaled,
)
from ssl4eco_training.views import Augmentation, ViewPlan, draw_view

HELD = {"r10": ("B02", "B03", "B04", "B08"), "r20": ("B8A", "B05", "B06", "B07", "B11")}
REFERENCE = InputSpec(image_px=11)
STANDARDISED = InputSpec(
    image_px=11,
    scaling="standardised",
    mean=(2000.0, *range(1000, 9000, 1000)),
    std=(*range(500, 900, 50), 3000),
)
N, M, SIDE = 6, 2, 16


@pytest.fixture(scope="module")
def stored() -> dict[str, np.ndarray]:
    """DN; image (0, 0) has missing pixels of both resolutions, image (1, 1) has none that are there."""
    rng = np.random.default_rng(3)
    pixels = {
        name: rng.integers(1, 9000, (N, M, len(held), SIDE // k, SIDE // k)).astype(np.uint16)
        for k, (name, held) in zip((1, 2), HELD.items(), strict=True)
    }
    pixels["r10"][0, 0, 1, 2, 3:9] = 0
    pixels["r20"][0, 0, 0, 5, 6] = 0
    pixels["r20"][0, 0, 4, 0, 0] = 0  # B11, which is not wanted
    for array in pixels.values():
        array[1, 1] = 0
    return pixels


@pytest.fixture(scope="module")
def batch(stored: dict[str, np.ndarray]) -> Batch:
    """With the draws of four views; among them all that can happen."""
    keys, zero = names(f"a{i}" for i in range(N)), np.zeros(N, np.int64)
    views = tuple(
        ViewTensors.of(draw_view(seed, zero, keys, 0, 9, Augmentation(grey_probability=0.4)))
        for seed in range(4)
    )
    flags = torch.stack([torch.stack([v.grey, v.flip, v.sigma_px > 0, v.brightness != 1]) for v in views])
    assert flags.any(dim=2).any(dim=0).all() and not flags.all(dim=2).all(dim=0).any()
    one = torch.zeros(N)
    return Batch(
        pixels={name: torch.from_numpy(array) for name, array in stored.items()},
        bands=HELD,
        rows=one.long(),
        seasons=torch.zeros(N, M, dtype=torch.int64),
        day_of_year=torch.zeros(N, M),
        phase=torch.zeros(N, M),
        lon=one,
        lat=one,
        views=views,
        position=N,
    )


def plain_channels(stored: dict[str, np.ndarray], i: int, image: int) -> np.ndarray:
    ten = dict(zip(HELD["r10"], stored["r10"][i, image], strict=True))
    twenty = dict(zip(HELD["r20"], stored["r20"][i, image], strict=True))
    return plain_views.channels(ten, twenty, BANDS)


def close(found: Tensor, expected: np.ndarray, scale: float) -> None:
    """Where nothing is expected (NaN) there is 0."""
    np.testing.assert_allclose(found.numpy(), np.nan_to_num(expected), rtol=2e-4, atol=3e-5 * scale)


def with_mask(images: Tensor) -> Tensor:
    return torch.cat([images, (images != 0).any(dim=1, keepdim=True)], dim=1)


def no_change(n: int) -> ViewTensors:
    """An augmentation that leaves everything as it is."""
    return ViewTensors(
        box=torch.tensor([[0.0, 0, 1, 1]] * n),
        brightness=torch.ones(n),
        contrast=torch.ones(n, 9),
        grey=torch.zeros(n, dtype=torch.bool),
        sigma_px=torch.zeros(n),
        flip=torch.zeros(n, dtype=torch.bool),
    )


def test_channels_are_those_of_the_plain_reference(batch: Batch, stored: dict[str, np.ndarray]) -> None:
    for image in range(M):
        pixels = {name: array[:, image] for name, array in batch.pixels.items()}
        found = channels_of(pixels, HELD, REFERENCE)
        assert found.dtype == torch.float32 and found.shape == (N, 9, SIDE, SIDE)
        for i in range(N):
            close(found[i], plain_channels(stored, i, image), 1e4)


@pytest.mark.parametrize("spec", [REFERENCE, STANDARDISED], ids=["reference", "standardised"])
def test_views_are_those_of_the_plain_reference(
    batch: Batch, stored: dict[str, np.ndarray], spec: InputSpec
) -> None:
    plans = [ViewPlan(image=v % 2, augment=v > 0) for v in range(4)]
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = make_views(batch, plans, spec)
    standardised = spec.scaling == "standardised"
    for view, plan, draws in zip(found, plans, batch.views, strict=True):
        assert view.dtype == torch.float32 and view.shape == (N, 9, 11, 11)
        for i in range(N):
            image = plain_channels(stored, i, plan.image)
            if plan.augment:
                values = (draws.brightness, draws.grey, draws.sigma_px, draws.flip)
                brightness, grey, sigma, flip = (v[i].item() for v in values)
                image = plain_views.augmented(
                    image, brightness, draws.contrast[i].numpy(), bool(grey), sigma, bool(flip), standardised
                )
            image = plain_views.cropped(image, draws.box[i].numpy().astype(float), 11)
            if standardised:
                mean, std = (np.array(values)[:, None, None] for values in (spec.mean, spec.std))
                close(view[i], (image - mean) / std, 20)
            else:
                close(view[i], image / 255, 40)


HOLES = [(share, seed) for share in (0.02, 0.05, 0.2, 0.5) for seed in range(4)]


def with_holes(share: float, seed: int) -> dict[str, np.ndarray]:
    """DN of one image, each pixel of each array without data in one band with a probability."""
    rng = np.random.default_rng(seed)
    pixels = {}
    for k, (name, held) in zip((1, 2), HELD.items(), strict=True):
        array = rng.integers(1, 9000, (1, len(held), SIDE // k, SIDE // k)).astype(np.uint16)
        for y, x in np.argwhere(rng.random(array.shape[2:]) < share):
            array[0, rng.integers(4), y, x] = 0  # of the bands that are wanted
        pixels[name] = array
    return pixels


@pytest.mark.parametrize(("share", "seed"), HOLES)
def test_holes_are_those_of_the_plain_reference(share: float, seed: int) -> None:
    """After each step: values next to holes, and which pixels have data."""
    pixels = with_holes(share, seed)
    draws = ViewTensors.of(
        draw_view(seed, np.zeros(1, np.int64), names(["a"]), 0, 9, Augmentation(blur_probability=1))
    )
    found = planes_of({name: torch.from_numpy(array) for name, array in pixels.items()}, HELD, STANDARDISED)
    held = (dict(zip(HELD[name], array[0], strict=True)) for name, array in pixels.items())
    plain = plain_views.channels(*held, BANDS)
    assert np.isnan(plain).any()
    same(found, plain)
    same(augmented(found, no_change(1), REFERENCE), plain)
    values = (draws.brightness, draws.grey, draws.sigma_px, draws.flip)
    brightness, grey, sigma, flip = (v[0].item() for v in values)
    found = augmented(found, draws, STANDARDISED)
    plain = plain_views.augmented(
        plain, brightness, draws.contrast[0].numpy(), bool(grey), sigma, bool(flip), True
    )
    same(found, plain)
    found = cropped(found, draws.box, 11)
    plain = plain_views.cropped(plain, draws.box[0].numpy().astype(float), 11)
    same(found, plain)
    mean, std = (np.array(values)[:, None, None] for values in (STANDARDISED.mean, STANDARDISED.std))
    close(scaled(found[:, :-1], STANDARDISED, found[:, -1:])[0], (plain - mean) / std, 20)


def same(planes: Tensor, plain: np.ndarray) -> None:
    np.testing.assert_array_equal(planes[0, -1].numpy(), ~np.isnan(plain[0]))
    close(planes[0, :-1], plain, 1e4)


@pytest.mark.parametrize(("share", "seed"), HOLES)
def test_a_constant_stays_so_next_to_holes(share: float, seed: int) -> None:
    """Whatever mixes pixels: each of the result has the constant's value or none."""
    pixels = {
        name: torch.from_numpy(np.where(array > 0, 700, 0)) for name, array in with_holes(share, seed).items()
    }
    spec = InputSpec(ndvi=False)
    planes, images = planes_of(pixels, HELD, spec), channels_of(pixels, HELD, spec)
    box = torch.tensor([[0.1, 0.2, 0.7, 0.6]])
    for mixed in (planes, blurred(planes, torch.tensor([1.5])), cropped(planes, box, 13)):
        there = mixed[:, -1:].expand_as(mixed[:, :-1])
        assert set(there.unique().tolist()) <= {0.0, 1.0}
        torch.testing.assert_close(mixed[:, :-1], there * 700)
    grown = centre(images, 24)
    assert grown.shape[1] == 8
    torch.testing.assert_close(grown, (grown != 0) * 700.0)


def test_what_has_all_its_data_is_mixed_plainly(batch: Batch) -> None:
    """To the last bit at the places of the 20 m bands, within rounding after the crop."""
    pixels = {name: array[1:, 0] for name, array in batch.pixels.items()}
    images = channels_of(pixels, HELD, REFERENCE)
    plain = functional.interpolate(pixels["r20"].float(), (SIDE, SIDE), mode="bilinear")
    assert torch.equal(images[:, BANDS.index("B05")], plain[:, HELD["r20"].index("B05")])
    whole = torch.tensor([[0.0, 0, 1, 1]] * len(images))
    grown = functional.interpolate(images, (22, 22), mode="bilinear")
    torch.testing.assert_close(centre(images, 22), grown)
    torch.testing.assert_close(cropped(with_mask(images), whole, 22)[:, :-1], grown, rtol=1e-4, atol=1e-2)


def test_half_of_the_weight_is_enough() -> None:
    """A crop between two pixels, one of them without data."""
    planes = torch.tensor([0.0, 9.0, 0.0, 5.0]).reshape(1, 1, 1, 4).expand(1, 1, 4, 4)
    found = cropped(with_mask(planes), torch.tensor([[0.0, 0, 1, 1]]), 2)
    assert found[0, :, 0].tolist() == [[9.0, 5.0], [1.0, 1.0]]


def test_a_blur_closes_a_small_hole_and_takes_a_lonely_pixel() -> None:
    images = torch.full((2, 9, SIDE, SIDE), 50.0)
    images[0, :, 8, 8] = 0
    images[1] = 0
    images[1, :, 8, 8] = 50
    found = blurred(with_mask(images), torch.tensor([1.0, 1.0]))
    torch.testing.assert_close(found[0, :-1], torch.full((9, SIDE, SIDE), 50.0))
    assert found[0, -1].all() and not found[1].any()


@pytest.mark.parametrize("spec", [REFERENCE, STANDARDISED], ids=["reference", "standardised"])
def test_pixels_without_data_are_0_in_every_band(batch: Batch, spec: InputSpec) -> None:
    pixels = {name: array[:, 0] for name, array in batch.pixels.items()}
    before = planes_of(pixels, HELD, spec)
    gone = before[:, -1] == 0
    assert gone[0].sum() == 6 + 4 and not gone[1:].any()
    assert ((before == 0).all(dim=1) == gone).all()
    for draws in batch.views:
        after = augmented(before, draws, spec)
        assert not after[(after[:, -1:] == 0).expand_as(after)].any()
    nothing = augmented(before * 0, batch.views[0], spec)
    assert not nothing.any() and not scaled(nothing[:, :-1], spec, nothing[:, -1:]).any()


def test_a_pixel_that_contrast_makes_0_still_has_data(batch: Batch) -> None:
    stored = torch.full((1, 1, 4, SIDE, SIDE), 100, dtype=torch.uint16)
    stored[..., 8:] = 300
    pixels = {"r10": stored.clone(), "r20": stored[..., ::2, ::2]}
    pixels["r10"][..., :3, :] = 0
    draws = replace(no_change(1), contrast=torch.full((1, 9), 2.0))
    one = replace(batch, pixels=pixels, views=(draws,))
    (view,) = make_views(one, [ViewPlan(image=0, augment=True)], STANDARDISED)
    zero = -torch.tensor(STANDARDISED.mean) / torch.tensor(STANDARDISED.std)
    assert not view[0, :, :2].any()
    torch.testing.assert_close(view[0, :, 2:, :4], zero[:, None, None].expand(9, 9, 4))


def test_missing_pixels_do_not_move_the_others() -> None:
    """The mean that contrast keeps is that of the pixels with data."""
    whole = torch.full((1, 9, SIDE, SIDE), 100.0)
    whole[..., 8:] = 300.0
    holed = whole.clone()
    holed[..., :4, :] = 0
    draws = replace(no_change(1), contrast=torch.full((1, 9), 0.5))
    one, other = (augmented(with_mask(images), draws, REFERENCE) for images in (whole, holed))
    torch.testing.assert_close(one[..., 4:, :], other[..., 4:, :])
    assert one[0, 0, 0, 0] == 150 and not other[..., :4, :].any()


def test_a_blur_of_0_changes_nothing_and_others_keep_the_mean_of_a_constant() -> None:
    planes = with_mask(torch.rand(3, 2, 9, 8))
    torch.testing.assert_close(blurred(planes, torch.zeros(3)), planes, rtol=0, atol=0)
    ones = torch.ones(3, 2, 9, 8)
    torch.testing.assert_close(blurred(ones, torch.tensor([0.1, 1, 2])), ones)
    with pytest.raises(ValueError, match="more than 6 pixels"):
        blurred(torch.rand(1, 1, 6, 9), torch.ones(1))


def test_a_whole_box_of_the_same_size_is_the_image() -> None:
    images = with_mask(torch.rand(2, 3, 8, 8))
    whole = torch.tensor([[0.0, 0.0, 1.0, 1.0]] * 2)
    torch.testing.assert_close(cropped(images, whole, 8), images, rtol=1e-5, atol=1e-5)
    quarter = torch.tensor([[0.5, 0.25, 0.5, 0.5]] * 2)
    torch.testing.assert_close(cropped(images, quarter, 4), images[:, :, 2:6, 4:8], rtol=1e-5, atol=1e-5)


def test_the_middle_is_cut_and_small_images_grow() -> None:
    images = torch.arange(1, 65.0).reshape(1, 1, 8, 8)
    torch.testing.assert_close(centre(images, 4), images[:, :, 2:6, 2:6])
    torch.testing.assert_close(centre(images, 8), images)
    big = centre(images, 16)
    np.testing.assert_allclose(big[0].numpy(), plain_views.resized(images[0].numpy(), 16), rtol=1e-5)
    images[0, 0, 2:4, 3] = 0
    expected = plain_views.resized(plain_views.known([images[0, 0].numpy()]), 11)
    assert np.isnan(expected).any()
    np.testing.assert_allclose(centre(images, 11)[0].numpy(), np.nan_to_num(expected), rtol=1e-5)


def test_scaling_is_what_the_specification_says() -> None:
    images = torch.rand(2, 9, 4, 4) * 5000 + 1
    torch.testing.assert_close(scaled(images, REFERENCE), images / 255)
    expected = (images.numpy() - np.array(STANDARDISED.mean)[:, None, None]) / np.array(STANDARDISED.std)[
        :, None, None
    ]
    np.testing.assert_allclose(scaled(images, STANDARDISED).numpy(), expected, rtol=1e-5, atol=1e-6)


def test_bands_come_in_the_order_of_the_specification(batch: Batch) -> None:
    pixels = {name: array[:, 0] for name, array in batch.pixels.items()}
    turned = InputSpec(bands=("B8A", "B04"), ndvi=False)
    found = channels_of(pixels, HELD, turned)
    both = channels_of(pixels, HELD, InputSpec(bands=("B04", "B8A"), ndvi=False))
    torch.testing.assert_close(found, both.flip(1))
    coarse = channels_of(pixels, HELD, InputSpec(bands=("B8A",), ndvi=False))
    torch.testing.assert_close(coarse[:, 0], pixels["r20"][:, 0].float())


@pytest.mark.parametrize(
    ("bands", "held"), [(("B02", "B12"), HELD), (("B02", "B01"), {**HELD, "r60": ("B01",)})]
)
def test_bands_that_do_not_fit_are_refused(bands: tuple[str, ...], held: dict[str, tuple[str, ...]]) -> None:
    pixels = {name: torch.ones(1, len(h), 4, 4, dtype=torch.uint16) for name, h in held.items()}
    with pytest.raises(ValueError, match=r"bands must be of B02, .* got B(12|01)$"):
        channels_of(pixels, held, InputSpec(bands=bands, ndvi=False))


def test_views_of_another_number_are_refused(batch: Batch) -> None:
    with pytest.raises(ValueError, match="drawn for 4 views, not for 1"):
        make_views(batch, [ViewPlan(image=0, augment=False)], REFERENCE)


class _NothingWaits(TorchDispatchMode):
    """Fails at what makes the host wait for a GPU: a value asked for, a shape that depends on values."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        waits = (
            "_local_scalar_dense",
            "nonzero",
            "masked_select",
            "unique",
            "is_nonzero",
            "equal",
            "_copy_from",
        )
        name = func.overloadpacket.__name__
        assert name not in waits and not (name == "lift_fresh" and args[0].numel()), name
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("spec", [REFERENCE, STANDARDISED], ids=["reference", "standardised"])
def test_no_step_waits_for_the_device(batch: Batch, spec: InputSpec) -> None:
    plans = [ViewPlan(image=v % 2, augment=v > 0) for v in range(4)]
    make_views(batch, plans, spec)  # the first copies the statistics
    with _NothingWaits():
        assert [view.shape for view in make_views(batch, plans, spec)] == [(N, 9, 11, 11)] * 4
    with pytest.raises(AssertionError, match="scalar"), _NothingWaits():
        float(batch.lon.sum())
