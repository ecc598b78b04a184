"""What the result of a stage depends on: the parts of its fingerprint besides the program's version."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

from ssl4eco_data.archives.own import OwnParameters
from ssl4eco_data.config import Config
from ssl4eco_data.locations import PointSource
from ssl4eco_data.pipeline import tables
from ssl4eco_data.store import Ledger, read_table, sha256


def written(*sections: str) -> Callable[[Config], Any]:
    """The parameters of these sections, as the user wrote them."""
    return lambda config: [config.written(section) for section in sections]


def of_archive(config: Config, fields: Sequence[str]) -> Any:
    """What of the archive decides the data; time-outs, retries and credentials do not.

    With the embedded archive that is its parameters too, wherever it was written.
    """
    written = config.written("archive")
    earth = config.written("simulate")["earth"] if config.simulate else None
    return [{name: written.get(name) for name in fields}, earth]


def judged(config: Config) -> list[Any]:
    """What of the archive decides the candidates and their scores."""
    return [of_archive(config, config.archive.JUDGED), of_catalogue(config, "imagery")]


def sticky(config: Config) -> list[Any]:
    """How scenes that are served already are kept; nothing of it without versions."""
    rule = config.versions
    return [rule.sticky_margin_days, rule.sticky_margin_cloud] if rule.enabled else []


def of_catalogue(config: Config, kind: Literal["imagery", "vegetation"]) -> Any:
    """What lies where the archive's scenes, or its vegetation series, are listed."""
    archive = config.archive
    if isinstance(archive, OwnParameters):
        return [own_content(place) for place in archive.files()]
    return content((archive.vegetation if kind == "vegetation" else None) or archive.imagery)


def own_content(place: str) -> Any:
    """The checksum of a file of the user's own archive; names and sizes of a folder, which may be large."""
    path = Path(place)
    if not path.is_dir():
        return content(place)
    return [(str(p.relative_to(path)), p.stat().st_size) for p in sorted(path.rglob("*")) if p.is_file()]


def content(place: str) -> Any:
    """The checksums of a file on disk and of what belongs to it; what only a service knows has none.

    A shapefile is several files of one name, a file geodatabase a folder.
    """
    if not place:
        return None
    path = Path(place)
    if path.suffix.lower() == ".shp":
        return [(p.suffix, sha256(p)) for p in sorted(path.parent.glob(f"{path.stem}.*")) if p.is_file()]
    if path.is_dir():
        return [(p.name, sha256(p)) for p in sorted(path.iterdir()) if p.is_file()]
    return sha256(path) if path.is_file() else None


def of_layers(config: Config) -> Any:
    """The checksums of the files that the locations come from."""
    source, parameters = config.locations.source, config.locations
    files = (
        (source.points,) if isinstance(source, PointSource) else (source.region, source.land, source.water)
    )
    return [content(place) for place in (*files, parameters.strata, parameters.tiles) if place]


def done(config: Config, stage: str, block: int) -> Any:
    """The checksums of what an earlier stage left for a block; ``FileNotFoundError`` where it has no mark."""
    mark = Ledger(config.root).read(stage, block)
    if mark is None:
        raise FileNotFoundError(f"stage {stage} has not done block {block} of {config.root} yet")
    return [(f.path, f.sha256) for f in mark.files]


def all_done(config: Config, stage: str) -> Any:
    """The checksums of what an earlier stage left for all blocks."""
    return [done(config, stage, block) for block in tables.blocks(config)]


def located(config: Config, block: int) -> Any:
    """Where a block's patches lie."""
    columns = ["location_id", "lon", "lat", "epsg", "west", "north"]
    return tables.rows(config, tables.locations(config), block)[columns]


def of_dates(config: Config, block: int) -> Any:
    """The dates that a block's points brought."""
    fields = list(config.locations.date_fields)
    return [tables.rows(config, tables.locations(config), block)[fields], window_days(config)]


def window_days(config: Config) -> int | None:
    """Days around a date that a point brought; None where points bring none."""
    source = config.locations.source
    return source.date_window_days if isinstance(source, PointSource) and source.date_fields else None


def chosen(config: Config, block: int) -> Any:
    """Patches depend on where and on which scene, not on why it was chosen."""
    choices = read_table(tables.part(config, tables.CHOICES, block))
    return [located(config, block), choices[["location_id", "season", "scene_id"]]]
