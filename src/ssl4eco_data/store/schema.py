"""The patches' arrays: which there are, their dimensions, chunks, shards, codecs and attributes."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

from pydantic import Field

from ssl4eco_data.bands import BANDS, SCL_CLASSES, bands_at
from ssl4eco_data.store.codec import ChunkCodec
from ssl4eco_data.store.metadata import FORMAT_VERSION, ArraySpec
from ssl4eco_data.types import SNAP_M, Parameters, size_60m_px

GROUP = "sentinel2"
"""The modality's group inside ``patches.zarr``."""
PATCHES = "patches.zarr"
"""The Zarr store of a dataset, below its root."""
RESOLUTIONS_M = (10, 20, 60)
ARRAYS = ("r10", "r20", "r60", "scl")
"""Every array of patches there can be; one without bands is not there."""
SCALE = 10_000
LICENSE = "https://sentinel.esa.int/documents/247904/690755/Sentinel_Data_Legal_Notice"
ATTRIBUTION = "Contains modified Copernicus Sentinel data"
SIMULATED_LICENSE = "none: simulated data"
SIMULATED_ATTRIBUTION = "Simulated imagery and vegetation series: no satellite data"


class StoreParameters(Parameters):
    """How patches are packed; all of it changes the files, none of it the pixels."""

    shard_locations: int = Field(
        default=64,
        ge=1,
        le=4096,
        description="locations whose patches, all seasons, share one file per array",
    )
    block_shards: int = Field(default=1, ge=1, description="shards in a block, the unit of work and of retry")
    compression: Literal["zstd", "lz4"] = Field(
        default="zstd", description="zstd is smaller, lz4 faster to read"
    )
    level: int = Field(default=3, ge=1, le=9, description="effort of the compression")


@dataclass(frozen=True, slots=True, kw_only=True)
class PatchArray(ArraySpec):
    """An array of patches; ``bands`` are those along its band axis (the scene classification has none)."""

    bands: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Layout:
    """How the patches of a dataset are laid out; it depends on the number of locations and parameters alone.

    ``seasons`` are the labels along the season axis, ``size_m`` the side of a patch, ``bands`` the
    reflectance bands that are kept (the scene classification always is), in any order. ``simulated`` imagery
    says so in the attributes and owes nothing to anyone.
    """

    n_locations: int
    seasons: tuple[str, ...]
    size_m: float
    bands: tuple[str, ...]
    title: str = "SSL4Eco"
    simulated: bool = False
    parameters: StoreParameters = field(default_factory=StoreParameters)

    def __post_init__(self) -> None:
        if self.n_locations < 1:
            raise ValueError(f"n_locations must be at least 1, got {self.n_locations}")
        if not self.seasons or len(set(self.seasons)) < len(self.seasons):
            raise ValueError(f"seasons must be different labels, at least one, got {self.seasons}")
        if not (self.size_m > 0 and self.size_m % SNAP_M == 0):
            raise ValueError(f"size_m must be a positive multiple of {SNAP_M:g}, got {self.size_m}")
        unknown = [b for b in self.bands if b not in BANDS or b == "SCL"]
        if unknown or not self.bands or len(set(self.bands)) < len(self.bands):
            raise ValueError(f"bands must be different reflectance bands, at least one, got {self.bands}")

    @cached_property
    def arrays(self) -> tuple[PatchArray, ...]:
        """``r10``, ``r20``, ``r60`` (those with a band), then ``scl``."""
        reflectance = [
            self._reflectance(pixel_m) for pixel_m in RESOLUTIONS_M if bands_at(pixel_m, self.bands)
        ]
        return (*reflectance, self._classification())

    def size_px(self, pixel_m: int) -> int:
        """Side in pixels of a patch at this resolution."""
        return size_60m_px(self.size_m) if pixel_m == 60 else int(self.size_m / pixel_m)

    def attributes(self) -> dict[str, Any]:
        """Attributes of the group."""
        return {
            "Conventions": "CF-1.11",
            "ssl4eco_format_version": FORMAT_VERSION,
            "title": self.title,
            "seasons": list(self.seasons),
            "size_m": self.size_m,
            "source": f"{'simulated ' * self.simulated}Sentinel-2 MSI Level-2A, native resolution and UTM "
            "zone, not resampled",
            "license": SIMULATED_LICENSE if self.simulated else LICENSE,
            "attribution": SIMULATED_ATTRIBUTION if self.simulated else ATTRIBUTION,
        }

    @property
    def _codec(self) -> ChunkCodec:
        return ChunkCodec(compression=self.parameters.compression, level=self.parameters.level)

    def _reflectance(self, pixel_m: int) -> PatchArray:
        bands = bands_at(pixel_m, self.bands)
        attributes: dict[str, Any] = {
            "long_name": f"surface reflectance x {SCALE} at {pixel_m} m",
            "units": "1",
            "reflectance_scale": 1 / SCALE,
            "no_data": 0,
            "pixel_m": pixel_m,
            "bands": list(bands),
            "wavelength_nm": [BANDS[b].wavelength_nm for b in bands],
            "width_nm": [BANDS[b].width_nm for b in bands],
        }
        dims = (f"band_{pixel_m}m", f"y_{pixel_m}m", f"x_{pixel_m}m")
        side = self.size_px(pixel_m)
        return self._patches(f"r{pixel_m}", dims, (len(bands), side, side), "uint16", attributes, bands)

    def _classification(self) -> PatchArray:
        side = self.size_px(20)
        attributes: dict[str, Any] = {
            "long_name": "Sentinel-2 L2A scene classification",
            "pixel_m": 20,
            "flag_values": list(SCL_CLASSES),
            "flag_meanings": " ".join(_one_word(text) for text in SCL_CLASSES.values()),
        }
        return self._patches("scl", ("y_20m", "x_20m"), (side, side), "uint8", attributes, ("SCL",))

    def _patches(
        self,
        name: str,
        dims: tuple[str, ...],
        patch_shape: tuple[int, ...],
        dtype: str,
        attributes: dict[str, Any],
        bands: tuple[str, ...],
    ) -> PatchArray:
        n_seasons = len(self.seasons)
        return PatchArray(
            name=name,
            dims=("location", "season", *dims),
            shape=(self.n_locations, n_seasons, *patch_shape),
            chunk_shape=(1, 1, *patch_shape),
            shard_shape=(self.parameters.shard_locations, n_seasons, *patch_shape),
            dtype=dtype,
            codec=self._codec,
            attributes={**attributes, "seasons": list(self.seasons)},
            bands=bands,
        )


def _one_word(text: str) -> str:
    return text.replace(",", "").replace(" ", "_")
