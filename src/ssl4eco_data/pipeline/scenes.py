"""Scenes of a block: one search, candidates judged on the patch, one choice per season."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime, timedelta

import pandas as pd
import shapely
from shapely.geometry import shape

from ssl4eco_data.archives import Archive
from ssl4eco_data.config import Config
from ssl4eco_data.errors import ArchiveError
from ssl4eco_data.locations import PointSource, footprint_polygon, locations_of
from ssl4eco_data.phenology import cycle_of, dated_windows, season_windows
from ssl4eco_data.pipeline import listed, tables
from ssl4eco_data.pipeline.outage import refuse_outage
from ssl4eco_data.pipeline.reuse import ServedScene, published_among, published_scenes
from ssl4eco_data.pipeline.stage import Outcome
from ssl4eco_data.scenes import (
    MODEL_BANDS,
    Candidate,
    Choice,
    CloudModel,
    Published,
    SceneRules,
    candidates_of,
    choose,
    covered_fraction,
    explain,
    load_cloud_model,
    to_judge,
    with_failures,
    with_model,
    with_stats,
)
from ssl4eco_data.store import read_table, write_table
from ssl4eco_data.types import Footprint, Location, PatchStats, Scene, SeasonWindow

FRACTIONS = ("clear_fraction", "snow_fraction", "shadow_fraction", "cloud_fraction", "missing_fraction")
Choosing = Callable[[Location, Sequence[SeasonWindow]], tuple[Sequence[Candidate], Mapping[str, Choice]]]
NO_WINDOW = "no_window"
TOO_FEW_SEASONS = "too_few_seasons"


def choose_scenes(config: Config, archive: Archive, block: int) -> Outcome:
    """The scenes of every location of a block, all candidates kept with their verdicts."""
    rows = tables.rows(config, tables.locations(config), block)
    located, windows = locations_of(rows), _windows(config, rows, block)
    cycles = dict(iter(read_table(tables.part(config, tables.CYCLES, block)).groupby("location_id")))
    choose_for = _from_list if config.scenes.policy == "list" else _from_search
    scenes, choose_at = choose_for(config, archive, located, block)

    candidate_rows, choice_rows = [], []
    for location, own_windows in zip(located, windows, strict=True):
        candidates, choices = choose_at(location, own_windows)
        candidate_rows.append(_tag(explain(candidates, config.scenes, choices), location))
        own = cycles.get(location.location_id)
        choice_rows += [_choice_row(location, season, choices, own) for season in config.seasons]
    table = pd.concat(candidate_rows, ignore_index=True)
    malformed = table["scene_id"].isin([s.scene_id for s in scenes if s.failure])
    tried = table[table["judged"] | (table["failure"] != "") & ~malformed]
    refuse_outage(tried["failure"].tolist(), "candidates")
    return _write(config, block, table, _drop_sparse(choice_rows, config.min_seasons))


def _from_search(
    config: Config, archive: Archive, located: Sequence[Location], block: int
) -> tuple[Sequence[Scene], Choosing]:
    """(every scene over the block, from one search; how one location chooses among them)."""
    areas = {loc.location_id: footprint_polygon(loc.footprint) for loc in located}
    scenes = archive.search(shapely.union_all(list(areas.values())), *config.period.imagery)
    tree = shapely.STRtree([shape(dict(s.geometry)) for s in scenes])
    served = published_scenes(config, block)

    def choose_at(
        location: Location, windows: Sequence[SeasonWindow]
    ) -> tuple[Sequence[Candidate], Mapping[str, Choice]]:
        here = [scenes[i] for i in sorted(tree.query(areas[location.location_id], predicate="intersects"))]
        return _choose_for(archive, location, here, windows, config, served.get(location.location_id, {}))

    return scenes, choose_at


def _from_list(
    config: Config, archive: Archive, located: Sequence[Location], _block: int
) -> tuple[Sequence[Scene], Choosing]:
    """(the listed scenes of the block, how one location takes its own of them)."""
    images = listed.images_of(config, located)
    if not any(images.values()):
        listed.check_list(config)
    found = listed.find(archive, images, {loc.location_id: loc for loc in located})

    def choose_at(
        location: Location, windows: Sequence[SeasonWindow]
    ) -> tuple[Sequence[Candidate], Mapping[str, Choice]]:
        own = images[location.location_id]
        choices = listed.listed_choices(own, found, location, windows, config.seasons)
        candidates = [choice.candidate for choice in choices.values() if choice.candidate]
        once = {c.scene.scene_id: c.scene for c in candidates if not c.failure}
        stats, failures = _judge(archive, list(once.values()), location.footprint) if once else ([], {})
        candidates = with_failures(with_stats(candidates, stats), failures)
        return candidates, listed.judged(choices, candidates)

    return list(found.values()), choose_at


def _windows(config: Config, located: pd.DataFrame, block: int) -> Iterable[Sequence[SeasonWindow]]:
    """Each location's windows: around its own dates where the points brought some, else its seasons'."""
    source = config.locations.source
    if isinstance(source, PointSource) and source.date_fields:
        days = located[list(source.date_fields)].astype(object)
        for row in days.where(days.notna(), None).to_dict("records"):
            dates = {str(label): day.date() if day else None for label, day in row.items()}
            yield dated_windows(dates, source.date_window_days)
        return
    for row in tables.rows(config, tables.phenology(config), block).to_dict("records"):
        yield season_windows({str(k): v for k, v in row.items()}, _years(config))


def _years(config: Config) -> range:
    """Years whose windows can meet the imagery; a season may begin before or end after its year."""
    start, end = config.period.imagery
    return range(start.year - 1, end.year + 2)


def _choose_for(
    archive: Archive,
    location: Location,
    scenes: Sequence[Scene],
    windows: Sequence[SeasonWindow],
    config: Config,
    served: Mapping[str, ServedScene],
) -> tuple[Sequence[Candidate], Mapping[str, Choice]]:
    rules = config.scenes
    in_zone = [s for s in scenes if s.epsg == location.footprint.epsg or (s.failure and not s.epsg)]
    candidates = candidates_of(in_zone, windows, rules)
    model = load_cloud_model(rules.cloud_model) if rules.cloud_model else None
    published = published_among(candidates, served, config)
    candidates = _judged(archive, candidates, location.footprint, rules, published)
    while model and (scenes := _unseen(candidates, rules, published)):
        seen = {s.scene_id: _ask(model, archive, s, location.footprint) for s in scenes}
        candidates = _judged(archive, with_model(candidates, seen), location.footprint, rules, published)
    choices = choose(candidates, rules, published)
    named = {w.season for w in windows}
    missing = {
        s: Choice(season=s, candidate=None, reason=NO_WINDOW) for s in config.seasons if s not in named
    }
    none = {s: Choice(season=s, candidate=None, reason="no_candidates") for s in named if s not in choices}
    return candidates, {**choices, **missing, **none}


def _judged(
    archive: Archive,
    candidates: list[Candidate],
    footprint: Footprint,
    rules: SceneRules,
    published: Published,
) -> list[Candidate]:
    """The candidates with all that a choice needs to know."""
    while pending := to_judge(candidates, rules, published):
        judged = {c.scene.scene_id: c.scene for c in pending}
        stats, failures = _judge(archive, list(judged.values()), footprint)
        candidates = with_failures(with_stats(candidates, stats), failures)
    return candidates


def _unseen(candidates: Sequence[Candidate], rules: SceneRules, published: Published) -> list[Scene]:
    """The scenes that would be chosen and that the cloud model has not looked at."""
    choices = choose(candidates, rules, published).values()
    chosen = [choice.candidate for choice in choices if choice.candidate]
    return [c.scene for c in chosen if c.model_fraction is None]


def _ask(model: CloudModel, archive: Archive, scene: Scene, footprint: Footprint) -> float:
    """What the model says; a scene that cannot be read for good is left to the stage that cuts patches."""
    try:
        return covered_fraction(model, dict(archive.read(scene, footprint, MODEL_BANDS)))
    except ArchiveError as error:
        if error.transient:
            raise
        return float("nan")


def _judge(
    archive: Archive, scenes: Sequence[Scene], footprint: Footprint
) -> tuple[list[PatchStats], dict[str, str]]:
    """Statistics of the scenes, and the cause for each that cannot be read for good.

    A scene that fails is looked for by halves, so that one broken file costs few requests more.
    """
    try:
        return list(archive.judge(scenes, footprint)), {}
    except ArchiveError as error:
        if error.transient:
            raise
        if len(scenes) == 1:
            return [], {scenes[0].scene_id: str(error)}
    half = len(scenes) // 2
    left, right = (_judge(archive, part, footprint) for part in (scenes[:half], scenes[half:]))
    return left[0] + right[0], left[1] | right[1]


def _tag(frame: pd.DataFrame, location: Location) -> pd.DataFrame:
    frame.insert(0, "location_id", location.location_id)
    return frame


def _choice_row(
    location: Location, season: str, choices: Mapping[str, Choice], cycles: pd.DataFrame | None
) -> dict[str, object]:
    """One row of the choices table."""
    choice = choices[season]
    row: dict[str, object] = {"location_id": location.location_id, "season": season, "reason": choice.reason}
    candidate = choice.candidate
    if candidate is None:
        return row
    since, sigma, phase = cycle_of(_days(candidate.scene.time), cycles)
    return row | {
        "scene_id": candidate.scene.scene_id,
        "time": candidate.scene.time,
        "year": candidate.year,
        "days_from_middle": candidate.days_from_middle,
        **{name: getattr(candidate.stats, name) if candidate.stats else None for name in FRACTIONS},
        "days_since_greenup": since,
        "days_since_greenup_sigma": sigma,
        "cycle_phase": phase,
    }


def _days(time: datetime) -> float:
    return (time - datetime(1970, 1, 1, tzinfo=time.tzinfo)) / timedelta(days=1)


def _drop_sparse(rows: list[dict[str, object]], min_seasons: int) -> pd.DataFrame:
    """The choices table; a location with too few seasons keeps its rows and loses its scenes."""
    frame = pd.DataFrame(rows, columns=list(CHOICE_DTYPES))
    counts = frame.groupby("location_id")["scene_id"].transform("count")
    sparse = (counts < min_seasons) & frame["scene_id"].notna()
    kept = ["location_id", "season", "reason"]
    frame.loc[sparse, "reason"] = TOO_FEW_SEASONS
    frame.loc[sparse, [c for c in frame.columns if c not in kept]] = None
    frame["time"] = pd.to_datetime(frame["time"], utc=True)
    return frame.astype(CHOICE_DTYPES)


CHOICE_DTYPES = {
    "location_id": "str",
    "season": "str",
    "scene_id": "str",
    "time": "datetime64[ms, UTC]",
    "year": "Int16",
    "days_from_middle": "Int16",
    **dict.fromkeys(FRACTIONS, "float64"),
    "reason": "str",
    **dict.fromkeys(("days_since_greenup", "days_since_greenup_sigma", "cycle_phase"), "float64"),
}


def _write(config: Config, block: int, candidates: pd.DataFrame, choices: pd.DataFrame) -> Outcome:
    files = (tables.part(config, tables.CANDIDATES, block), tables.part(config, tables.CHOICES, block))
    write_table(files[0], candidates)
    write_table(files[1], choices)
    return Outcome(
        files=files,
        counts={
            "candidates": len(candidates),
            "judged": int(candidates["judged"].sum()),
            "unreadable": int((candidates["verdict"] == "unreadable").sum()),
            "seasons_found": int(choices["scene_id"].notna().sum()),
            "seasons_missing": int(choices["scene_id"].isna().sum()),
        },
    )
