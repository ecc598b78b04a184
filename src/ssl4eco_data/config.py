"""Strict TOML to one frozen, validated :class:`Config`: the sum of the parameters that each stage owns.

Relative paths start at the folder of the configuration file. Unknown keys are refused with the nearest
known one; every error names the key, the value and the place in the file.
"""

from __future__ import annotations

import difflib
import tomllib
import typing
from collections.abc import Mapping
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import tomli_w
from pydantic import (
    BaseModel,
    Discriminator,
    Field,
    PrivateAttr,
    SerializeAsAny,
    Tag,
    ValidationError,
    model_validator,
)

from ssl4eco_data.archives.earth_engine import EarthEngineParameters
from ssl4eco_data.archives.own import KIND, OwnParameters
from ssl4eco_data.archives.stac import StacParameters
from ssl4eco_data.bands import REFLECTANCE_BANDS
from ssl4eco_data.config_errors import explained
from ssl4eco_data.errors import ConfigError
from ssl4eco_data.locations import LocationParameters, WeightParameters
from ssl4eco_data.phenology import PhenologyParameters
from ssl4eco_data.redaction import redacted
from ssl4eco_data.scenes import SceneRules
from ssl4eco_data.simulate import SimulationParameters
from ssl4eco_data.store import StoreParameters, VersionParameters, version_place
from ssl4eco_data.store.objects import ObjectPath, Place, place_of
from ssl4eco_data.types import SEASONS, LocalPath, Parameters, local_paths

BandName = Literal["B01", "B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B09", "B11", "B12"]


class DatasetParameters(Parameters):
    """What the dataset is called and where it goes."""

    root: LocalPath = Field(pattern=r"\S", description="folder of the dataset")
    title: str = Field(
        default="SSL4Eco", min_length=1, description="name shown on the page and in the metadata"
    )


class SimulateParameters(Parameters):
    """The embedded archive, written before the first stage when it is not there yet."""

    folder: LocalPath = Field(description="folder of the embedded archive")
    earth: SimulationParameters = Field(default_factory=SimulationParameters)


class Period(Parameters):
    """Days are whole UTC days; every end is exclusive."""

    imagery_start: date = Field(description="first day of the scenes to choose from")
    imagery_end: date = Field(description="day after the last one of the scenes")
    vegetation_start: date | None = Field(default=None, description="first day of the vegetation series")
    vegetation_end: date | None = Field(default=None, description="day after the last one of the series")

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        for name, (start, end) in (("imagery", self.imagery), ("vegetation", self.vegetation)):
            if not start < end:
                raise ValueError(f"{name}_start must be before {name}_end, got {start} and {end}")
        return self

    @property
    def imagery(self) -> tuple[date, date]:
        """(start, end) of the scenes."""
        return self.imagery_start, self.imagery_end

    @property
    def vegetation(self) -> tuple[date, date]:
        """(start, end) of the vegetation series; that of the scenes unless stated."""
        return self.vegetation_start or self.imagery_start, self.vegetation_end or self.imagery_end


class PatchParameters(Parameters):
    """What is cut out of each chosen scene."""

    size_px: int = Field(
        default=256, gt=0, le=4096, multiple_of=2, description="side of a patch in pixels of 10 m; even"
    )
    bands: tuple[BandName, ...] = Field(
        default=typing.cast("tuple[BandName, ...]", REFLECTANCE_BANDS),
        min_length=1,
        description="reflectance bands to keep; the scene classification is always kept",
    )

    @model_validator(mode="after")
    def _needs(self) -> Self:
        missing = [b for b in ("B04", "B08") if b not in self.bands]
        if missing:
            raise ValueError(f"bands must hold B04 and B08 (for NDVI), {', '.join(missing)} missing")
        if len(set(self.bands)) < len(self.bands):
            raise ValueError(f"bands must not repeat, got {', '.join(self.bands)}")
        return self

    @property
    def size_m(self) -> float:
        """Side of a patch in metres."""
        return 10.0 * self.size_px


class BudgetParameters(Parameters):
    """What one run may take from the archive; when it is spent, the run pauses and the next goes on."""

    max_requests: int | None = Field(default=None, ge=1, description="requests of one run; no limit without")
    max_eecu_hours: float | None = Field(
        default=None, gt=0, description="Earth Engine's compute of one run, EECU-hours; no limit without"
    )


class PlanParameters(Parameters):
    """What `ssl4eco plan` and the budget assume about an archive; none of it changes the data."""

    images_per_year: float = Field(
        default=110.0, gt=0, description="images of a place in a year: 73 passes, more where swaths overlap"
    )
    clear_tile_share: float = Field(
        default=0.35, gt=0, le=1, description="share of the images below scenes.max_scene_cloud_fraction"
    )
    usable_share: float = Field(
        default=0.7, gt=0, le=1, description="share of the judged images that are usable on the patch"
    )
    served_share: float = Field(default=0.95, gt=0, le=1, description="share of the seasons that get a scene")
    block_px: int = Field(default=1024, ge=16, description="side of a file's internal blocks, pixels")
    block_share: float = Field(
        default=0.65, gt=0, description="bytes of a compressed block by bytes of its pixels"
    )
    mask_share: float = Field(default=0.08, gt=0, description="the same for scene masks (SCL)")
    header_kb: float = Field(default=32.0, ge=0, description="fetched to open a file, kB")
    item_kb: float = Field(default=20.0, ge=0, description="one image in the answer to a search, kB")
    stored_share: float = Field(
        default=0.6, gt=0, description="bytes kept by bytes of the pixels, compressed without loss"
    )
    tables_kb: float = Field(default=60.0, ge=0, description="tables and dates kept per location, kB")
    mbit_per_s: float = Field(default=200.0, gt=0, description="rate of the connection, Mbit/s")
    requests_per_s: float = Field(default=20.0, gt=0, description="requests answered per second")
    eecu_s_per_layer: float = Field(
        default=0.05, gt=0, description="Earth Engine's compute per band of an image read, EECU-seconds"
    )


class RunParameters(Parameters):
    """How the work is spread; none of it changes the data."""

    task_runner: str = Field(
        default="threads",
        pattern=r"^(threads|dask|(tcp|tls|ws|wss|ucx|inproc)://.+)$",
        description="'threads', 'dask' (a local cluster), or the address of a running Dask scheduler",
    )
    workers: int = Field(
        default=2,
        ge=1,
        le=1024,
        description="blocks worked on at a time; with Dask, the number of its worker processes",
    )
    retries: int = Field(default=2, ge=0, le=20, description="times a failed block is tried again")
    retry_delay_s: float = Field(default=10.0, ge=0, description="seconds before a block is tried again")
    budget: BudgetParameters = Field(default_factory=BudgetParameters)


def _archive_kind(value: Any) -> str | None:
    """Which parameters check ``[archive]``; an import path is the kind of the user's own."""
    kind = value.get("kind") if isinstance(value, Mapping) else getattr(value, "kind", None)
    return KIND if ":" in str(kind) else None if kind is None else str(kind)


ArchiveParameters = SerializeAsAny[
    Annotated[StacParameters, Tag("stac")]
    | Annotated[EarthEngineParameters, Tag("earth_engine")]
    | Annotated[OwnParameters, Tag(KIND)]
]


class Config(Parameters):
    """Everything a build needs. Paths are absolute after :func:`load`."""

    dataset: DatasetParameters
    period: Period
    archive: ArchiveParameters = Field(discriminator=Discriminator(_archive_kind))
    locations: LocationParameters = Field(default_factory=LocationParameters)
    phenology: PhenologyParameters = Field(default_factory=PhenologyParameters)
    scenes: SceneRules = Field(default_factory=SceneRules)
    patches: PatchParameters = Field(default_factory=PatchParameters)
    store: StoreParameters = Field(default_factory=StoreParameters)
    weights: WeightParameters = Field(default_factory=WeightParameters)
    run: RunParameters = Field(default_factory=RunParameters)
    plan: PlanParameters = Field(default_factory=PlanParameters)
    versions: VersionParameters = Field(default_factory=VersionParameters)
    simulate: SimulateParameters | None = None

    @model_validator(mode="after")
    def _years_of_dates(self) -> Self:
        if self.locations.date_fields and self.scenes.year_policy != "any":
            raise ValueError(
                f"scenes.year_policy = {self.scenes.year_policy!r} is for seasons; with "
                "locations.source.date_fields each date is of its own year: leave it out"
            )
        if self.locations.date_fields and self.scenes.policy == "list":
            raise ValueError(
                'scenes.policy = "list" names the images of the seasons itself: '
                "leave locations.source.date_fields out"
            )
        return self

    @model_validator(mode="after")
    def _product_there(self) -> Self:
        if self.phenology.source == "mcd12q2" and not isinstance(self.archive, EarthEngineParameters):
            raise ValueError(
                'phenology.source = "mcd12q2" needs archive.kind = "earth_engine", the only archive that has '
                f'it, got "{self.archive.kind}": leave it out to derive dates from the vegetation series'
            )
        return self

    @model_validator(mode="after")
    def _archive_shared(self) -> Self:
        self.archive.share(self.processes)
        return self

    _written: dict[str, Any] = PrivateAttr(default_factory=dict)
    _fence: str = PrivateAttr(default="")
    _version: str = PrivateAttr(default="")

    @property
    def root(self) -> Place:
        """Where the dataset lies, or the version of it that this configuration is of (:meth:`of_version`)."""
        return version_place(self.home, self._version) if self._version else self.home

    @property
    def home(self) -> Place:
        """Where ``dataset.root`` is; on an object store behind the fence of the build's lease."""
        place = place_of(self.dataset.root)
        return replace(place, fence=self._fence) if isinstance(place, ObjectPath) else place

    @property
    def fence(self) -> str:
        """The lease under which this build writes to an object store; empty without one."""
        return self._fence

    @property
    def version(self) -> str:
        """The version of the dataset that is meant; empty where there are none, or none is."""
        return self._version

    def of_version(self, version: str) -> Self:
        """The configuration at this version of the dataset."""
        copy = self.model_copy()
        copy._version = version
        return copy

    def fenced(self, fence: str) -> Self:
        """The configuration of a build that holds this lease."""
        copy = self.model_copy()
        copy._fence = fence
        return copy

    @property
    def processes(self) -> int:
        """Processes that ask the archive at the same time: Dask workers, else this one alone."""
        return 1 if self.run.task_runner == "threads" else self.run.workers

    @property
    def seasons(self) -> tuple[str, ...]:
        """The season axis: the columns of the points' own dates, else the four seasons."""
        return self.locations.date_fields or SEASONS

    @property
    def min_seasons(self) -> int:
        """Seasons that a location must have to be kept; one where points bring as many dates as they like."""
        return min(self.scenes.min_seasons, 1 if self.locations.date_fields else len(self.seasons))

    @property
    def block_locations(self) -> int:
        """Locations in a block."""
        return self.store.shard_locations * self.store.block_shards

    def written(self, section: str) -> Any:
        """A section with defaults filled in and paths as the user wrote them.

        Fingerprints are made of this, so that a dataset and its configuration can be moved together.
        """
        return self._written.get(section)

    def to_toml(self) -> str:
        """What determines the data (no ``dataset.root``, ``[run]``, ``[plan]``, ``[versions]``), as TOML."""
        kept = {k: v for k, v in self._written.items() if k not in ("run", "plan", "versions")}
        kept["dataset"] = {k: v for k, v in kept["dataset"].items() if k != "root"}
        return tomli_w.dumps(kept)


def load(path: Path, *, with_files: bool = True) -> Config:
    """The configuration in a TOML file; ``with_files=False`` lets input files be absent still.

    Raises :class:`~ssl4eco_data.errors.ConfigError` with one readable message for a missing file, a TOML
    mistake, an unknown key (with the nearest known one) or an impossible value.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        near = difflib.get_close_matches(path.name, [p.name for p in sorted(path.parent.glob("*.toml"))], n=3)
        hint = f"; did you mean {' or '.join(str(path.parent / n) for n in near)}?" if near else ""
        raise ConfigError(f"no configuration file {path}{hint}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"cannot read the configuration {path}: {error}") from error
    return parse(text, path, with_files=with_files)


def parse(text: str, path: Path, *, with_files: bool = True) -> Config:
    """As :func:`load`, from the file's text; ``path`` names it in errors and anchors relative paths."""
    try:
        data = _with_tuples(tomllib.loads(text))
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise ConfigError(f"{path}: not valid TOML: {error}") from error
    try:
        as_written = Config.model_validate(data)
        config = Config.model_validate(data, context={"base": path.parent.resolve()})
    except ValidationError as error:
        lines = explained(error, text, data, Config)
        raise ConfigError(
            f"{path}: {len(lines)} mistake{'s' * (len(lines) > 1)}\n" + "\n".join(lines)
        ) from None
    config._written = _without_secrets(as_written.model_dump(exclude_none=True))
    if with_files:
        _check_files(config, path)
    return config


def _with_tuples(value: Any) -> Any:
    """TOML's arrays as the tuples that the models hold."""
    if isinstance(value, dict):
        return {key: _with_tuples(item) for key, item in value.items()}
    return tuple(map(_with_tuples, value)) if isinstance(value, list) else value


def _without_secrets(value: Any) -> Any:
    """Links without passwords and tokens: they go into the dataset, and new ones make no block stale."""
    if isinstance(value, dict):
        return {key: _without_secrets(item) for key, item in value.items()}
    if isinstance(value, tuple):
        return tuple(map(_without_secrets, value))
    return redacted(value) if isinstance(value, str) and "://" in value else value


def _check_files(config: Config, path: Path) -> None:
    """Input files that the embedded archive will not write must be there."""
    if (config.root / "config.toml").resolve() == path.resolve():
        raise ConfigError(
            f"{path}: dataset.root = {config.root} is the folder of this file, and the build writes its own "
            "config.toml there; choose another root"
        )
    written_first = Path(config.simulate.folder) if config.simulate else None
    for key, value in _local_paths(config):
        file = Path(value)
        made = written_first is not None and file.is_relative_to(written_first)
        if not made and not file.exists():
            hint = "; `ssl4eco fetch-layer` downloads the RESOLVE ecoregions" * (key == "locations.strata")
            raise ConfigError(f"{path}: {key} names a file that does not exist: {value}{hint}")
        own = key.startswith("archive.") and isinstance(config.archive, OwnParameters)
        if file.is_dir() and file.suffix != ".gdb" and not own:
            raise ConfigError(f"{path}: {key} must name a file, {value} is a folder")


def _local_paths(model: BaseModel, prefix: str = "") -> list[tuple[str, str]]:
    """(key, value) of every input path of a configuration, outputs left out."""
    found: list[tuple[str, str]] = []
    for name, field in type(model).model_fields.items():
        value = getattr(model, name)
        key = f"{prefix}{name}"
        if isinstance(value, BaseModel):
            found += _local_paths(value, f"{key}.")
        elif key not in ("dataset.root", "simulate.folder"):
            found += [(key, path) for path in local_paths(field, value) if Path(path).is_absolute()]
    return found
