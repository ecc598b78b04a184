"""The sky of one scene: where the sun stands, where clouds are, and where their shadows fall."""

from __future__ import annotations

import datetime as dt
import math
from dataclasses import dataclass

import numpy as np
from scipy.fft import irfft2, next_fast_len, rfft2

from ssl4eco_data.simulate.covers import Float32Array
from ssl4eco_data.simulate.regions import Clouds

PIXEL_M = 20
LOCAL_HOUR = 10.5
"""Mean local solar time of a Sentinel-2 overpass, hours."""
MAX_SHADOW_M = 5000.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Sun:
    """Where the sun stands; azimuth clockwise from north."""

    elevation_deg: float
    azimuth_deg: float


@dataclass(frozen=True, slots=True, eq=False)
class Sky:
    """Opacity of clouds and of their shadows, 0 to 1, ``(y, x)`` float32 on the canvas at 20 m."""

    cloud: Float32Array
    shadow: Float32Array


def sun_position(lat_deg: float, day: dt.date, solar_hour: float = LOCAL_HOUR) -> Sun:
    """The sun at a local solar time. Declination by Spencer (1971), accurate to about 0.05 degrees."""
    a = 2 * math.pi * (day.timetuple().tm_yday - 1) / 365
    declination = (
        0.006918
        - 0.399912 * math.cos(a)
        + 0.070257 * math.sin(a)
        - 0.006758 * math.cos(2 * a)
        + 0.000907 * math.sin(2 * a)
        - 0.002697 * math.cos(3 * a)
        + 0.00148 * math.sin(3 * a)
    )
    hour, lat = math.radians(15 * (solar_hour - 12)), math.radians(lat_deg)
    east = -math.cos(declination) * math.sin(hour)
    north = math.cos(lat) * math.sin(declination) - math.sin(lat) * math.cos(declination) * math.cos(hour)
    up = math.sin(lat) * math.sin(declination) + math.cos(lat) * math.cos(declination) * math.cos(hour)
    return Sun(
        elevation_deg=math.degrees(math.asin(up)), azimuth_deg=math.degrees(math.atan2(east, north)) % 360
    )


def cloudy_share(clouds: Clouds, day: dt.date, cloudiness: float) -> float:
    """Probability of a cloudy day at this time of the year."""
    phase = 2 * math.pi * (day.timetuple().tm_yday - clouds.peak_day) / 365.25
    return min(0.97, max(0.0, cloudiness * (clouds.mean + clouds.swing * math.cos(phase))))


def shadow_shift(sun: Sun, height_m: float) -> tuple[int, int]:
    """(rows, columns) of 20 m from a cloud to its shadow, which falls away from the sun."""
    length = min(MAX_SHADOW_M, height_m / math.tan(math.radians(max(sun.elevation_deg, 1.0))))
    azimuth = math.radians(sun.azimuth_deg)
    return round(length * math.cos(azimuth) / PIXEL_M), round(-length * math.sin(azimuth) / PIXEL_M)


def make_sky(
    rng: np.random.Generator,
    shape: tuple[int, int],
    sun: Sun,
    *,
    coverage: float,
    thin: bool,
    height_m: float,
) -> Sky:
    """Clouds over a share ``coverage`` of the sky, and their shadows.

    The field is periodic and larger than the canvas, so that shadows of clouds beyond its edges come in.
    Thin cloud stays under an opacity of one half and casts no shadow.
    """
    if coverage <= 0:
        clear = np.zeros(shape, np.float32)
        return Sky(clear, clear)
    field = _turbulence(rng, next_fast_len(max(shape) + 40, real=True))
    depth = np.maximum(field - np.quantile(field, 1 - coverage), 0)
    if thin:
        opacity = np.asarray(0.48 * (1 - np.exp(-1.5 * depth)), np.float32)
        return Sky(opacity[: shape[0], : shape[1]], np.zeros(shape, np.float32))
    opacity = np.asarray(1 - np.exp(-3.5 * depth), np.float32)
    shadow = np.roll(opacity, shadow_shift(sun, height_m), axis=(0, 1))
    return Sky(opacity[: shape[0], : shape[1]], shadow[: shape[0], : shape[1]])


def _turbulence(rng: np.random.Generator, n: int) -> Float32Array:
    """A periodic field with the power spectrum of cloud water, mean 0 and deviation 1, ``(n, n)`` float32."""
    wave = np.hypot(np.fft.fftfreq(n)[:, None], np.fft.rfftfreq(n)[None, :]) * n
    wave[0, 0] = 1
    gain = 1 / (wave**2 + 2.5**2) ** 1.1
    gain[0, 0] = 0
    field = irfft2(rfft2(rng.standard_normal((n, n), np.float32)) * gain.astype(np.float32), s=(n, n))
    return np.asarray(field / field.std(), np.float32)
