"""The ground of one site: parcels of land covers, their greenness on every day, relief and texture."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
from scipy.ndimage import gaussian_filter, zoom
from scipy.spatial import cKDTree

from ssl4eco_data.bands import REFLECTANCE_BANDS
from ssl4eco_data.simulate.covers import COVERS, Float32Array, evi
from ssl4eco_data.simulate.parameters import SimulationParameters
from ssl4eco_data.simulate.regions import GreenSeason, Region
from ssl4eco_data.simulate.sites import Site
from ssl4eco_data.simulate.winter import Winters, days_since_epoch, plan_winters, rng_of, simulated_years
from ssl4eco_data.types import FloatArray, Footprint

IntArray = npt.NDArray[np.int64]
PIXEL_M = 10
SPARE_DAYS = 420
REACH_DAYS = 220
GOLDEN = 0.6180339887498949


@dataclass(frozen=True, eq=False)
class Ground:
    """What lies at a site.

    ``parcels`` is ``(y, x)`` on the canvas at 10 m, numbers of parcels; ``green`` is ``(parcel, day)``
    greenness from ``first_day`` (days since 1970-01-01) on; ``dormant`` and ``span`` are ``(parcel, band)``
    reflectance at greenness 0 and its change up to 1. ``texture`` multiplies reflectance, ``height`` is in
    metres above the site's mean, both ``(y, x)``.
    """

    site: Site
    parcels: IntArray
    covers: tuple[str, ...]
    green: Float32Array
    first_day: int
    dormant: Float32Array
    span: Float32Array
    texture: Float32Array
    height: Float32Array
    winters: Winters

    def reflectance(self, day: int) -> Float32Array:
        """Reflectance of each parcel on a day (since 1970-01-01) without snow, ``(parcel, band)`` float32."""
        return self.dormant + self.green[:, day - self.first_day, None] * self.span

    @cached_property
    def evi(self) -> Float32Array:
        """Noise-free EVI of each parcel on each day without snow, ``(parcel, day)`` float32."""
        blue, red, nir = (
            self.dormant[:, b, None] + self.green * self.span[:, b, None]
            for b in map(REFLECTANCE_BANDS.index, ("B02", "B04", "B08"))
        )
        return evi(blue, red, nir)

    @cached_property
    def vegetated(self) -> npt.NDArray[np.bool_]:
        """Which parcels carry plants, ``(parcel,)``."""
        return np.array([COVERS[c].vegetated for c in self.covers])

    @cached_property
    def bare_scl(self) -> npt.NDArray[np.uint8]:
        """Scene class of each parcel when it is not green, ``(parcel,)``: 5 bare or 6 water."""
        return np.array([COVERS[c].scl for c in self.covers], np.uint8)

    @cached_property
    def snow_seen(self) -> Float32Array:
        """Share of the snow that the canopy does not hide, on the pixels, ``(y, x)``."""
        seen = np.array([1 - COVERS[c].hides_snow for c in self.covers], np.float32)
        return seen[self.parcels]

    @cached_property
    def slope(self) -> tuple[Float32Array, Float32Array]:
        """Rise per metre to the east and to the north, ``(y, x)`` each."""
        north, east = np.gradient(self.height, PIXEL_M)
        return np.asarray(east, np.float32), np.asarray(-north, np.float32)

    def patch_parcels(self, footprint: Footprint) -> IntArray:
        """Parcel numbers of the 10 m pixels of a patch, ``(y, x)``."""
        side = round(footprint.size_m / PIXEL_M)
        top = round((self.site.canvas.north_m - footprint.north_m) / PIXEL_M)
        left = round((footprint.west_m - self.site.canvas.west_m) / PIXEL_M)
        return self.parcels[top : top + side, left : left + side]

    def patch_evi(self, footprint: Footprint) -> FloatArray:
        """Mean noise-free EVI of the vegetated pixels of a patch on each day, ``(day,)``.

        The mean is over all pixels where less than 5 % carry plants.
        """
        counts = np.bincount(self.patch_parcels(footprint).ravel(), minlength=len(self.covers))
        plants = counts * self.vegetated
        weights = plants if plants.sum() >= 0.05 * counts.sum() else counts
        return np.asarray(weights / weights.sum() @ self.evi, np.float64)

    def snow_cover(self, day: int) -> Float32Array:
        """Share of each pixel that looks white on a day, ``(y, x)`` float32; more on high ground."""
        snow, depth = self.winters.snow, self.winters.depth(day)
        if snow is None or depth <= 0.01:
            return np.zeros(self.height.shape, np.float32)
        above = self.height / max(float(np.abs(self.height).max()), 1.0)
        on_ground = np.clip(2.2 * (depth - 0.5) + 0.6 + snow.patchy * 1.2 * (above - 0.25), 0, 1)
        return np.asarray(on_ground * self.snow_seen * min(1.0, 4 * depth), np.float32)


def build_ground(parameters: SimulationParameters, site: Site) -> Ground:
    """The landscape and its greenness over all years of the archive, from the seed and the site's number."""
    rng = rng_of(parameters.seed, site.number, 0)
    shape = site.canvas.shape(PIXEL_M)
    height = smooth_noise(rng, shape, 40) * np.float32(site.region.relief_m)
    parcels, stands = _parcels(rng, site, shape)
    covers = tuple(site.region.stands[i].cover for i in stands)
    start = min(parameters.imagery_start, parameters.vegetation_start)
    end = max(parameters.imagery_end, parameters.vegetation_end)
    days = np.arange(days_since_epoch(start) - SPARE_DAYS, days_since_epoch(end) + SPARE_DAYS)
    bright = np.exp(rng.normal(0, 0.05, (len(stands), 1)))
    rough = np.array([0.04 if c in ("built", "rock") else 0.007 for c in covers], np.float32)
    texture = 1 + rough[parcels] * smooth_noise(rng, shape, 2.4)
    return Ground(
        site=site,
        parcels=parcels,
        covers=covers,
        green=_greenness(rng, site.region, stands, days, simulated_years(parameters)),
        first_day=int(days[0]),
        dormant=np.asarray(bright * [COVERS[c].dormant for c in covers], np.float32),
        span=np.asarray(
            bright * [np.subtract(COVERS[c].green, COVERS[c].dormant) for c in covers], np.float32
        ),
        texture=np.clip(texture, 0.6, 1.5).astype(np.float32),
        height=height.astype(np.float32),
        winters=plan_winters(parameters, site),
    )


def smooth_noise(rng: np.random.Generator, shape: tuple[int, int], scale_px: float) -> Float32Array:
    """Gaussian noise, mean 0 and deviation 1 over the field, smooth over ``scale_px`` pixels."""
    shrink = max(1, int(scale_px // 3))
    small = tuple(-(-n // shrink) + 2 for n in shape)
    field = gaussian_filter(rng.standard_normal(small, np.float32), scale_px / shrink, mode="wrap")
    if shrink > 1:
        field = gaussian_filter(zoom(field, shrink, order=1), shrink)
    field = field[: shape[0], : shape[1]]
    return np.asarray((field - field.mean()) / max(float(field.std()), 1e-6), np.float32)


def _parcels(rng: np.random.Generator, site: Site, shape: tuple[int, int]) -> tuple[IntArray, IntArray]:
    """(parcel number of each pixel, stand number of each parcel); rectangular fields or ragged patches."""
    region = site.region
    shares = np.array([s.share for s in region.stands])
    size_px = COVERS[region.stands[int(np.argmax(shares))].cover].parcel_m / PIXEL_M
    seeds = _seed_points(rng, shape, size_px, 0.15 if region.fields else 0.38)
    # Seeds follow a serpentine, so the golden sequence spreads the minor covers evenly over the land.
    drawn = (np.arange(len(seeds)) * GOLDEN + rng.random()) % 1
    stands = np.searchsorted(np.cumsum(shares / shares.sum()), drawn, side="right").clip(max=len(shares) - 1)
    y, x = np.indices(shape, np.float32)
    if not region.fields:
        y = y + smooth_noise(rng, shape, 6) * size_px * 0.3
        x = x + smooth_noise(rng, shape, 6) * size_px * 0.3
    turn = rng.uniform(0, np.pi / 2) if region.fields else 0.0
    rotation = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    points = np.column_stack((y.ravel(), x.ravel())) @ rotation
    _, nearest = cKDTree(seeds @ rotation).query(points, p=np.inf if region.fields else 2.0)
    parcels = nearest.reshape(shape).astype(np.int64)
    return _with_river(rng, region, parcels, stands.astype(np.int64))


def _seed_points(
    rng: np.random.Generator, shape: tuple[int, int], size_px: float, jitter: float
) -> FloatArray:
    """Grid points moved by up to a share of their spacing, row after row, every second row backwards."""
    rows = np.arange(-size_px, shape[0] + size_px, size_px)
    columns = np.arange(-size_px, shape[1] + size_px, size_px)
    points = [(r, c) for i, r in enumerate(rows) for c in columns[:: 1 - 2 * (i % 2)]]
    return np.array(points) + rng.uniform(-jitter, jitter, (len(points), 2)) * size_px


def _with_river(
    rng: np.random.Generator, region: Region, parcels: IntArray, stands: IntArray
) -> tuple[IntArray, IntArray]:
    """A winding river, one parcel, where the region has water."""
    water = [i for i, s in enumerate(region.stands) if s.cover == "water"]
    if not water:
        return parcels, stands
    y, x = np.indices(parcels.shape, np.float64)
    middle = parcels.shape[1] * rng.uniform(0.2, 0.8)
    bend = (
        rng.uniform(8, 20) * np.sin(y / rng.uniform(18, 40) + rng.uniform(0, 6)) + rng.uniform(-0.3, 0.3) * y
    )
    river = np.abs(x - middle - bend) < rng.uniform(1.0, 2.2)
    return np.where(river, len(stands), parcels), np.append(stands, water[0])


def _greenness(
    rng: np.random.Generator, region: Region, stands: IntArray, days: IntArray, years: range
) -> Float32Array:
    """``(parcel, day)`` greenness: what stays green plus every season of every year, shifted and scaled."""
    result = np.zeros((len(stands), len(days)), np.float32)
    shift = rng.normal(0, region.year_shift_days, (len(years), 2)).clip(
        -2 * region.year_shift_days, 2 * region.year_shift_days
    )
    vigour = rng.normal(1, 0.05, len(years)).clip(0.85, 1.12)
    for number, stand in enumerate(region.stands):
        mine = np.flatnonzero(stands == number)
        if not len(mine):
            continue
        offset = rng.normal(0, stand.spread_days, (len(mine), 1))
        scale = rng.normal(1, 0.05, (len(mine), 1)).clip(0.8, 1.15)
        pulses = np.zeros((len(mine), len(days)), np.float32)
        for season in stand.seasons:
            for year, (early, late), strength in zip(years, shift, vigour, strict=True):
                origin = days_since_epoch(dt.date(year, 1, 1))
                _add_pulse(pulses, days - origin - offset, season, (early, late), strength * scale)
        result[mine] = np.clip(stand.evergreen + (1 - stand.evergreen) * pulses, 0, 1.2)
    return result


def _add_pulse(
    pulses: Float32Array,
    time: FloatArray,
    season: GreenSeason,
    shift: tuple[float, float],
    strength: FloatArray,
) -> None:
    """Add one season: a product of two logistic steps, tilted; only the days near it are touched."""
    up, down = season.green_day + shift[0], season.brown_day + shift[1]
    near = (time[0] > up - REACH_DAYS) & (time[0] < down + REACH_DAYS)
    t = time[:, near].astype(np.float32)
    rise = 1 / (1 + np.exp(-season.green_rate * (t - up)))
    fall = 1 / (1 + np.exp(season.brown_rate * (t - down)))
    tilt = 1 - season.tilt * np.clip((t - up) / (down - up), 0, 1)
    pulses[:, near] += season.height * strength / max(1.0, 1 - season.tilt) * rise * fall * tilt
