"""An archive of the user's own, named in the configuration by its import path; see ``docs/extending.md``."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from datetime import date
from typing import Any, ClassVar, Self

import xarray as xr
from pydantic import Field, ModelWrapValidatorHandler, ValidationInfo, model_validator

from ssl4eco_data.archives import Archive
from ssl4eco_data.archives.flow_control import FlowParameters
from ssl4eco_data.archives.s2_series import scene_series
from ssl4eco_data.bands import BANDS
from ssl4eco_data.errors import ConfigError
from ssl4eco_data.imports import load_named
from ssl4eco_data.locations import footprint_polygon
from ssl4eco_data.patches import blue_quantile, haze_median, mask_fractions
from ssl4eco_data.types import Footprint, Location, PatchGrid, PatchStats, Scene, UInt16Array, local_paths

KIND = "package.module:ClassName"
_EXAMPLE = "my_archive:MyArchive"
_METHODS = {
    name: method for name, method in vars(Archive).items() if inspect.isfunction(method) and name[0] != "_"
}
Read = Callable[[Scene, Footprint, Sequence[str]], Mapping[str, UInt16Array]]


class OwnParameters(FlowParameters):
    """Base of the parameters of an archive of one's own: the table ``[archive]`` of a configuration."""

    IMAGERY: ClassVar[tuple[str, ...]] = ()
    """The fields that decide the pixels of a scene; all that the class adds, unless it says otherwise.

    ``kind`` is always among them: another class gives other pixels.
    """
    JUDGED: ClassVar[tuple[str, ...]] = ()
    """The fields that decide the candidates, their statistics and the vegetation series; likewise."""

    kind: str = Field(description="import path of the archive's class")

    @classmethod
    def __pydantic_init_subclass__(cls, **_kwargs: Any) -> None:
        added = tuple(name for name in cls.model_fields if name not in FlowParameters.model_fields)
        for name in ("IMAGERY", "JUDGED"):
            named = vars(cls).get(name, added)
            setattr(cls, name, named if "kind" in named else ("kind", *named))

    @model_validator(mode="wrap")
    @classmethod
    def _of_the_class(
        cls, value: Any, handler: ModelWrapValidatorHandler[Self], info: ValidationInfo
    ) -> Self:
        """The class that ``kind`` names checks the other keys by its own parameters."""
        if cls is not OwnParameters or not isinstance(value, Mapping):
            return handler(value)
        try:
            parameters = archive_class(str(value["kind"])).Parameters
        except ConfigError as error:
            raise ValueError(str(error)) from error
        checked: Self = parameters.model_validate(value, context=info.context)
        return checked

    def series_fields(self) -> tuple[str, ...]:
        """The fields that decide the vegetation series."""
        return self.JUDGED

    def files(self) -> tuple[str, ...]:
        """The paths in the fields of ``LocalPath``: what lies there decides the data too."""
        fields = type(self).model_fields.items()
        return tuple(path for name, field in fields for path in local_paths(field, getattr(self, name)))


def archive_class(path: str) -> Any:
    """The class at an import path, after a look whether it can serve as an archive.

    It has a class ``Parameters`` inside, a subclass of :class:`OwnParameters`, is made of one of these
    alone, and has the methods of :class:`~ssl4eco_data.archives.Archive`. Raises
    :class:`~ssl4eco_data.errors.ConfigError` that says what is missing.
    """
    found = load_named(path, "archive.kind", _EXAMPLE)
    name = f"archive.kind = {path!r}"
    if not isinstance(found, type):
        raise ConfigError(f"{name} must name a class, got {type(found).__name__}")
    parameters = getattr(found, "Parameters", None)
    if not (isinstance(parameters, type) and issubclass(parameters, OwnParameters)):
        raise ConfigError(
            f"{name} needs a class Parameters inside it, a subclass of OwnParameters "
            "(ssl4eco_data.archives.own)"
        )
    missing = [method for method in _METHODS if not callable(getattr(found, method, None))]
    if missing:
        raise ConfigError(f"{name} is no archive yet: it lacks {', '.join(missing)} (docs/extending.md)")
    for method, wanted in _METHODS.items():
        if problem := _unfit(getattr(found, method), wanted):
            raise ConfigError(f"{name}: {method} {problem}")
    if problem := _unfit(found, lambda parameters: None):
        raise ConfigError(f"{name}: the class {problem}")
    return found


def _unfit(function: Callable[..., Any], wanted: Callable[..., Any]) -> str:
    """Why ``function`` cannot be called with the arguments of ``wanted``; empty when it can."""
    names = list(inspect.signature(wanted).parameters)
    try:
        inspect.signature(function).bind(*names)
    except TypeError as error:
        return f"must take ({', '.join(names)}): {error}"
    return ""


def grid_of(scene: Scene, footprint: Footprint, band: str) -> PatchGrid:
    """The pixels of a band under a patch: of the patch's own grid, at 60 m of the scene's tile.

    Raises ValueError for a band that is none and for a scene of another UTM zone than the patch.
    """
    if band not in BANDS:
        raise ValueError(f"bands must be among {', '.join(BANDS)}, got {band}")
    if scene.epsg != footprint.epsg:
        raise ValueError(
            f"scene {scene.scene_id} is in EPSG:{scene.epsg}, the patch in EPSG:{footprint.epsg}; "
            "choose a scene of the patch's zone"
        )
    pixel_m = BANDS[band].pixel_m
    if pixel_m == 60:
        return footprint.grid_60m(scene.tile_west_m, scene.tile_north_m)
    return footprint.grid(pixel_m)


def stats_by_reading(
    read: Read, scene: Scene, footprint: Footprint, min_usable_fraction: float = 0.8
) -> PatchStats:
    """What a scene shows in a patch, from its pixels: the mask, and blue and red where it is clear enough.

    ``read`` is that of the archive. A scene of another UTM zone is all missing.
    """
    if scene.epsg != footprint.epsg:
        return PatchStats(
            scene_id=scene.scene_id,
            clear_fraction=0.0,
            snow_fraction=0.0,
            shadow_fraction=0.0,
            cloud_fraction=0.0,
            missing_fraction=1.0,
        )
    scl = read(scene, footprint, ["SCL"])["SCL"]
    shares = mask_fractions(scl)
    blue_q95 = haze_q50 = float("nan")
    if shares.clear + shares.snow >= min_usable_fraction:
        bands = read(scene, footprint, ["B02", "B04"])
        blue_q95 = blue_quantile(bands["B02"], scl)
        haze_q50 = haze_median(bands["B02"], bands["B04"], scl)
    return PatchStats(
        scene_id=scene.scene_id,
        clear_fraction=shares.clear,
        snow_fraction=shares.snow,
        shadow_fraction=shares.shadow,
        cloud_fraction=shares.cloud,
        missing_fraction=shares.missing,
        blue_q95=blue_q95,
        haze_q50=haze_q50,
    )


def series_by_reading(
    archive: Archive, locations: Sequence[Location], start: date, end: date, pixel_m: int
) -> xr.Dataset:
    """EVI2 in cells of ``pixel_m`` around each location, from the scenes that the archive finds and reads.

    For an archive without MODIS; ``pixel_m`` must divide the patch's side.
    """
    found = []
    for location in locations:
        scenes = archive.search(footprint_polygon(location.footprint), start, end)
        here = location.footprint.epsg
        found.append([s for s in scenes if s.epsg == here or (s.failure and not s.epsg)])
    return scene_series(found, locations, pixel_m, archive.read)
