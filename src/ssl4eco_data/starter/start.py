"""From wishes to a configuration file that loads, and what it will sample."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

from ssl4eco_data.config import Config, parse
from ssl4eco_data.errors import ConfigError
from ssl4eco_data.locations import (
    Area,
    GridSource,
    LocationParameters,
    area_of,
    read_layer,
    read_points,
    split_for_area,
)
from ssl4eco_data.starter.document import document
from ssl4eco_data.starter.paths import as_written
from ssl4eco_data.starter.wishes import Wishes

PAPER_YEARS = date(2017, 1, 1), date(2025, 1, 1)
"""Those of the paper; the end is exclusive."""
_SEARCHED_KM = (5.0, 1.0)
"""Spacings of the grids that look for land where the default grid finds none; the packaged mask has 1 km."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """The text of a configuration and, for its reader, what it means."""

    text: str
    summary: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Place:
    """A table ``[locations.source]`` and how many locations it offers."""

    source: Mapping[str, Any]
    available: int
    split: Mapping[str, float]


def start(wishes: Wishes) -> Start:
    """The configuration for these wishes, which loads from ``wishes.to``; nothing is written.

    Raises :class:`~ssl4eco_data.errors.ConfigError` when the file is there already, a file it would name
    cannot be used, or the region has too little land.
    """
    _check_target(wishes)
    place = _points(wishes) if wishes.points is not None else _grid(wishes)
    strata = _strata(wishes)
    config = Config.model_validate(
        {
            "dataset": {"root": f"data/{wishes.to.stem}", "title": wishes.to.stem},
            "period": {"imagery_start": wishes.start, "imagery_end": wishes.end},
            "archive": wishes.archive_values,
            "locations": {"source": place.source, **strata, **_allocation(wishes), "split": place.split},
        }
    )
    text = document(config)
    parse(text, wishes.to)
    return Start(text=text, summary=_summary(wishes, config, place))


def of_archive(archive: str) -> Config:
    """The configuration that asks ``archive`` (as for ``init``) for 2017 to 2024, all else at its default.

    Raises ``ValueError`` for an archive that is neither known, nor an address or a file, nor without account.
    """
    start, end = PAPER_YEARS
    wishes = Wishes(to=Path("point.toml"), start=start, end=end, archive=archive)
    values = {
        "dataset": {"root": "point"},
        "period": {"imagery_start": start, "imagery_end": end},
        "archive": wishes.archive_values,
    }
    return Config.model_validate(values)


def write(wishes: Wishes) -> tuple[str, ...]:
    """What was written and what it means, in lines; errors as :func:`start`, no file is overwritten."""
    begun = start(wishes)
    try:
        with wishes.to.open("x", encoding="utf-8") as file:
            file.write(begun.text)
    except FileExistsError:
        raise _there_already(wishes) from None
    return begun.summary


def _check_target(wishes: Wishes) -> None:
    if wishes.to.exists():
        raise _there_already(wishes)
    if not wishes.to.absolute().parent.is_dir():
        raise ConfigError(
            f"no folder {wishes.to.absolute().parent} to write {wishes.to.name} to; make it first"
        )


def _there_already(wishes: Wishes) -> ConfigError:
    return ConfigError(f"{wishes.to} is there already: remove it, or name another file with --to OTHER.toml")


def _points(wishes: Wishes) -> _Place:
    path = str(wishes.points)
    return _Place(
        source={"kind": "points", "points": as_written(path, wishes.to)},
        available=len(read_points(path)),
        split={},
    )


def _grid(wishes: Wishes) -> _Place:
    """The default spacing where it has enough cells, else the largest that has."""
    area = area_of(GridSource(region=wishes.region))
    spacing_km = _spacing_km(area, wishes)
    source: dict[str, Any] = {"kind": "grid", "spacing_km": spacing_km}
    if wishes.region is not None:
        source["region"] = as_written(wishes.region, wishes.to)
    available = _count(area, spacing_km)
    fit = split_for_area(available * spacing_km**2)
    return _Place(
        source=source,
        available=available,
        split={"block_km": fit.block_km, "buffer_km": fit.buffer_km},
    )


def _spacing_km(area: Area, wishes: Wishes) -> float:
    default_km = GridSource().spacing_km
    found = _count(area, default_km)
    if found >= (wishes.n or 1):
        return default_km
    if not found and not any(_count(area, spacing_km) for spacing_km in _SEARCHED_KM):
        raise ConfigError(
            f"the region {wishes.region} holds no land north of {area.min_lat_deg:g} degrees that a grid of "
            f"{_SEARCHED_KM[-1]:g} km finds: name another --region, or bring your own --points"
        )
    if wishes.n is None:
        raise ConfigError(
            f"the {default_km:g} km grid has no land cell in {wishes.region}: say with --n how many "
            "locations you want, so that a narrower grid is chosen"
        )
    return area.largest_spacing_km(wishes.n, default_km)


def _count(area: Area, spacing_km: float) -> int:
    return len(area.cells(spacing_km)[1])


def _strata(wishes: Wishes) -> dict[str, Any]:
    """The layer's keys of ``[locations]``: fields that it does not have are given up, but for the first."""
    if wishes.strata is None:
        return {}
    default = LocationParameters()
    fields = {
        "ecoregion_field": wishes.strata_field or default.ecoregion_field,
        "biome_field": default.biome_field,
        "realm_field": default.realm_field,
    }
    written = {"strata": as_written(wishes.strata, wishes.to)}
    if _has(wishes.strata, list(fields.values())):
        return written | fields
    first = fields["ecoregion_field"]
    try:
        read_layer(wishes.strata, [first])
    except ConfigError as error:
        absent = f"no field {first!r}" in str(error) and not wishes.strata_field
        hint = "; --strata-field names the field of its strata" if absent else ""
        raise ConfigError(f"{error}{hint}") from error
    known = {key: name if _has(wishes.strata, [name]) else "" for key, name in fields.items()}
    return written | known


def _has(layer: str, fields: list[str]) -> bool:
    try:
        read_layer(layer, fields)
    except ConfigError:
        return False
    return True


def _allocation(wishes: Wishes) -> dict[str, Any]:
    if wishes.points is not None:
        return {}
    rule = {"rule": "all"} if wishes.n is None else {"rule": "proportional", "n": wishes.n}
    return {"allocation": rule}


def _summary(wishes: Wishes, config: Config, place: _Place) -> tuple[str, ...]:
    path = shlex.quote(str(wishes.to))
    return (
        f"wrote    {wishes.to}",
        f"dataset  {wishes.to.parent / config.dataset.root}",
        f"scenes   {wishes.start} up to {wishes.end}",
        *_sampled(wishes, config, place),
        f"look     ssl4eco build {path} --until locations    # the sample, nothing else",
        f"build    ssl4eco build {path}    # or, in the repository: make dataset CONFIG={path}",
    )


def _sampled(wishes: Wishes, config: Config, place: _Place) -> tuple[str, ...]:
    source, wanted = config.locations.source, config.locations.allocation
    if not isinstance(source, GridSource):
        return (f"points   {place.available:,} in {wishes.points}, all of them are taken",)
    shares = f"shared over {wanted.by}s by area" if wishes.strata else "spread evenly, without strata"
    sample = f"all {place.available:,}" if wanted.n is None else f"{wanted.n:,} of them, {shares}"
    where = wishes.region or "the world"
    lines = (
        f"grid     {place.available:,} land cells in {where} at {source.spacing_km:g} km",
        f"sample   {sample}",
    )
    size_km = config.patches.size_m / 1000
    if source.spacing_km >= size_km:
        return lines
    return (*lines, f"note     patches are {size_km:g} km wide: at this spacing they overlap")
