"""One pass over one site as the sensor sees it: reflectances, scene classification and the truth."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.ndimage import binary_dilation, zoom

from ssl4eco_data.bands import REFLECTANCE_BANDS, bands_at
from ssl4eco_data.simulate.covers import CLOUD, HAZE, SHADOW_DIRECT, SNOW, Float32Array
from ssl4eco_data.simulate.ground import Ground, smooth_noise
from ssl4eco_data.simulate.passes import Pass
from ssl4eco_data.simulate.sky import Sky, Sun, make_sky
from ssl4eco_data.simulate.winter import rng_of
from ssl4eco_data.types import BoolArray, Footprint, UInt8Array

CLEAR, THIN_CLOUD, THICK_CLOUD, SHADOW, SNOW_COVER, NO_DATA = 0, 1, 2, 3, 4, 255
"""Classes of the true cloud masks."""
THIN_OPACITY, THICK_OPACITY, SHADOW_OPACITY = 0.1, 0.5, 0.25
MISSED_PATCH_SHARE = 0.5
SWATH_SLOPE = 0.18
"""Metres to the west per metre to the south along the edge of a descending swath."""
NOISE_SHARE, NOISE_FLOOR = 0.0002, 0.00015


@dataclass(frozen=True, slots=True, eq=False)
class Picture:
    """Canvas images. ``bands`` are reflectances, 10 m bands at 10 m, all others at 20 m (also the 60 m ones).

    ``scl``, ``truth`` (classes above) and ``seen`` (inside the swath) are at 20 m.
    """

    bands: dict[str, Float32Array]
    scl: UInt8Array
    truth: UInt8Array
    seen: BoolArray


def render(seed: int, ground: Ground, flight: Pass) -> Picture:
    """The picture of one pass; its noise follows from the seed, the site and the pass."""
    rng = rng_of(seed, ground.site.number, 4, flight.number)
    sky = _sky(seed, ground, flight)
    snow = ground.snow_cover(flight.day)
    surface = _surface(ground, flight, snow)
    ndvi = half(_ndvi(surface))
    bands = _sense(rng, surface, sky, flight)
    snow_20m = half(snow)
    truth = _truth(sky, snow_20m)
    scl = _classify(rng, ground, sky, ndvi, snow_20m, flight)
    seen = _seen(ground, flight)
    return Picture(
        bands, np.where(seen, scl, 0).astype(np.uint8), np.where(seen, truth, NO_DATA).astype(np.uint8), seen
    )


def _sky(seed: int, ground: Ground, flight: Pass) -> Sky:
    """The sky; where the mask will miss the clouds, enough of them over every location."""
    shape = ground.site.canvas.shape(20)
    steps = (0.8, 0.9, 0.97, 1.0) if flight.scl_error == "missed_cloud" else (flight.coverage,)
    for coverage in steps:
        rng = rng_of(seed, ground.site.number, 5, flight.number)
        sky = make_sky(
            rng, shape, flight.sun, coverage=coverage, thin=flight.thin, height_m=flight.cloud_height_m
        )
        if flight.scl_error != "missed_cloud" or _thick_share(ground, sky) >= MISSED_PATCH_SHARE:
            break
    return sky


def _thick_share(ground: Ground, sky: Sky) -> float:
    """The smallest share of thick cloud over any location of the site."""
    return min(
        float((sky.cloud[patch_window(ground, at.footprint)] >= THICK_OPACITY).mean())
        for at in ground.site.locations
    )


def patch_window(ground: Ground, footprint: Footprint) -> tuple[slice, slice]:
    """Where a patch lies on the canvas at 20 m."""
    side = round(footprint.size_m / 20)
    top = round((ground.site.canvas.north_m - footprint.north_m) / 20)
    left = round((footprint.west_m - ground.site.canvas.west_m) / 20)
    return slice(top, top + side), slice(left, left + side)


def _surface(ground: Ground, flight: Pass, snow: Float32Array) -> Float32Array:
    """Reflectance of the ground in the day's light, ``(band, y, x)`` at 10 m."""
    table = np.ascontiguousarray(ground.reflectance(flight.day).T)
    light = ground.texture * _relief_light(ground, flight.sun)
    surface = table[:, ground.parcels]
    if snow.any():
        surface += snow * (SNOW[:, None, None] - surface)
    surface *= light
    return surface


def _relief_light(ground: Ground, sun: Sun) -> Float32Array:
    """Direct light on slopes relative to flat ground, half of it left by the terrain correction."""
    elevation, azimuth = np.radians(max(sun.elevation_deg, 10.0)), np.radians(sun.azimuth_deg)
    east, north = ground.slope
    facing = 1 - (east * np.sin(azimuth) + north * np.cos(azimuth)) / np.tan(elevation)
    return np.asarray(1 + 0.5 * (np.clip(facing, 0.3, 1.7) - 1), np.float32)


def _ndvi(surface: Float32Array) -> Float32Array:
    red, nir = surface[REFLECTANCE_BANDS.index("B04")], surface[REFLECTANCE_BANDS.index("B08")]
    return np.asarray((nir - red) / (nir + red), np.float32)


def _sense(
    rng: np.random.Generator, surface: Float32Array, sky: Sky, flight: Pass
) -> dict[str, Float32Array]:
    """What arrives at the sensor: shadow, cloud, haze and noise added, at each band's working resolution."""
    fine = set(bands_at(10))
    opacity = {10: _double(sky.cloud), 20: sky.cloud} if sky.cloud.any() else {}
    shade = {10: _double(sky.shadow), 20: sky.shadow} if sky.shadow.any() else {}
    bright = np.float32(rng.uniform(0.92, 1.12))
    bands = {}
    for i, name in enumerate(REFLECTANCE_BANDS):
        pixel_m = 10 if name in fine else 20
        value = surface[i] if name in fine else half(surface[i])
        if shade:
            value = value * (1 - SHADOW_DIRECT[i] * shade[pixel_m])
        if opacity:
            value = value + opacity[pixel_m] * (bright * CLOUD[i] - value)
        noise = rng.standard_normal(value.shape, np.float32)
        value = value + np.float32(flight.haze) * HAZE[i]
        bands[name] = value + noise * (NOISE_FLOOR + NOISE_SHARE * value)
    return bands


def _truth(sky: Sky, snow: Float32Array) -> UInt8Array:
    truth = np.where(snow >= 0.5, SNOW_COVER, CLEAR)
    truth = np.where(sky.shadow >= SHADOW_OPACITY, SHADOW, truth)
    truth = np.where(sky.cloud >= THIN_OPACITY, THIN_CLOUD, truth)
    return np.where(sky.cloud >= THICK_OPACITY, THICK_CLOUD, truth).astype(np.uint8)


def _classify(
    rng: np.random.Generator, ground: Ground, sky: Sky, ndvi: Float32Array, snow: Float32Array, flight: Pass
) -> UInt8Array:
    """A scene classification: mostly right, unsure at edges and in thin cloud, on some passes quite wrong."""
    bare = ground.bare_scl[ground.parcels[::2, ::2]]
    ground_class = np.where((ndvi > 0.35) & (bare != 6), 4, bare)
    ground_class = np.where(rng.random(ndvi.shape) < 0.006, 7, ground_class)
    if flight.scl_error == "missed_cloud":
        return np.where(ground_class == 7, 5, ground_class).astype(np.uint8)
    unsure = smooth_noise(rng, (ndvi.shape[0], ndvi.shape[1]), 3)
    scl = np.where(snow >= 0.5, np.where(unsure > 2.2, 8, 11), ground_class)
    if flight.scl_error == "false_cloud":
        return np.where(unsure > -1.2, np.where(unsure > 0.5, 9, 8), scl).astype(np.uint8)
    return _add_clouds(scl, sky, unsure).astype(np.uint8)


def _add_clouds(scl: npt.NDArray[np.int64], sky: Sky, unsure: Float32Array) -> npt.NDArray[np.int64]:
    thick = sky.cloud >= THICK_OPACITY
    scl = np.where((sky.shadow >= SHADOW_OPACITY) & (unsure > -1.3), 3, scl)
    scl = np.where((sky.cloud >= 0.15) & (unsure > -0.6), 10, scl)
    scl = np.where(thick, np.where(sky.cloud >= 0.75, 9, 8), scl)
    grown = binary_dilation(thick) & ~thick if thick.any() else thick
    return np.where(grown & (unsure > 0), 8, scl)


def _seen(ground: Ground, flight: Pass) -> BoolArray:
    """Which 20 m pixels of the canvas lie inside the swath."""
    rows, columns = ground.site.canvas.shape(20)
    if flight.swath_edge is None:
        return np.ones((rows, columns), bool)
    y, x = np.indices((rows, columns))
    edge = flight.swath_edge * columns - SWATH_SLOPE * (y - rows / 2)
    return (edge - x) * flight.swath_side > 0


def half(image: Float32Array) -> Float32Array:
    """Means of 2 x 2 pixels."""
    return 0.25 * (image[::2, ::2] + image[1::2, ::2] + image[::2, 1::2] + image[1::2, 1::2])


def _double(image: Float32Array) -> Float32Array:
    """Twice the pixels, linear between them."""
    return np.asarray(zoom(image, 2, order=1, mode="nearest", grid_mode=True), np.float32)
