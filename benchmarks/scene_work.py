"""What the benchmark of the scenes measures: dates with a known truth, opinions on them, choices made."""

from __future__ import annotations

import calendar
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pandas as pd

from ssl4eco_data.archives.stac import StacArchive, StacParameters
from ssl4eco_data.locations import footprint_polygon
from ssl4eco_data.scenes import Candidate, SceneRules, candidates_of, choose, to_judge, with_stats
from ssl4eco_data.scenes.second_opinion import DOUBTS, typical_levels
from ssl4eco_data.scenes.verdicts import verdicts_and_opinions
from ssl4eco_data.simulate import SimulationParameters, true_mask
from ssl4eco_data.simulate.render import NO_DATA, SHADOW, THICK_CLOUD, THIN_CLOUD
from ssl4eco_data.simulate.sites import plan_sites
from ssl4eco_data.types import SEASONS, Footprint, PatchStats, Scene, SeasonWindow

TOUCHED, UNTOUCHED = 0.1, 0.02
"""Cloud or shadow over more of a patch than the first spoils it; up to the second it is as good as none."""
LIGHTLY_PERCENT, HALF_PERCENT = 10, 50
WEST_M, NORTH_M, SIDE_M = 501360.0, 5629680.0, 640.0
"""The Belgian site, metres of EPSG:32631."""
_NEVER = 9.0
"""No reflectance exceeds another by this much."""
_SEEN = SceneRules(max_scene_cloud_fraction=1.0)
OPINIONS: Mapping[str, SceneRules] = {
    "blue and lone snow": _SEEN.model_copy(update={"max_haze_excess": _NEVER}),
    "and haze (all)": _SEEN,
}
_TRUSTING = SceneRules(second_opinion="record")
POLICIES: Mapping[str, SceneRules] = {
    "paper: least cloudy tile under 20 %": SceneRules(
        policy="least_cloudy", min_usable_fraction=0.0, min_sun_elevation_deg=-90.0, second_opinion="record"
    ),
    "least cloudy tile, mask asked on the patch": _TRUSTING.model_copy(update={"policy": "least_cloudy"}),
    "least cloudy tile, and the second opinion": SceneRules(policy="least_cloudy"),
    "nearest date, mask asked on the patch": _TRUSTING,
    "nearest date, and the second opinion (ours)": SceneRules(),
}
"""The rules compared; the last is the default."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """One location of the embedded archive: its scenes, their statistics, and the true share of the patch
    under cloud or shadow (``touched``, of the seen pixels, NaN without any) and unseen (``missing``)."""

    name: str
    scenes: tuple[Scene, ...]
    stats: Mapping[str, PatchStats]
    touched: Mapping[str, float]
    missing: Mapping[str, float]


def embedded_sites(root: Path, parameters: SimulationParameters) -> list[Site]:
    """Every location of the archive at ``root``."""
    archive = StacArchive(StacParameters(imagery=str(root / "sentinel-2-l2a.json")))
    return [
        _site(root, archive, parameters, location.location_id, location.footprint)
        for site in plan_sites(parameters)
        for location in site.locations
    ]


def _site(
    root: Path, archive: StacArchive, parameters: SimulationParameters, name: str, footprint: Footprint
) -> Site:
    found = archive.search(footprint_polygon(footprint), parameters.imagery_start, parameters.imagery_end)
    scenes = tuple(scene for scene in found if scene.epsg == footprint.epsg)
    shares = {scene.scene_id: _true_shares(root, scene.scene_id, footprint) for scene in scenes}
    return Site(
        name=name,
        scenes=scenes,
        stats={stats.scene_id: stats for stats in archive.judge(scenes, footprint)},
        touched={scene_id: share[0] for scene_id, share in shares.items()},
        missing={scene_id: share[1] for scene_id, share in shares.items()},
    )


def _true_shares(root: Path, scene_id: str, footprint: Footprint) -> tuple[float, float]:
    mask = true_mask(root, scene_id, footprint)
    seen = mask[mask != NO_DATA]
    touched = float(np.isin(seen, (THIN_CLOUD, THICK_CLOUD, SHADOW)).mean()) if seen.size else float("nan")
    return touched, 1 - seen.size / mask.size


def opinions(site: Site) -> pd.DataFrame:
    """The dates whose mask is clear: ``bad`` and ``untouched`` in truth, a column of doubts per rules."""
    table = _doubts(_whole_series(site.scenes, site.stats))
    touched = table["scene_id"].map(site.touched)
    return table.assign(part="embedded", bad=touched > TOUCHED, untouched=touched <= UNTOUCHED)


def belgian_dates(folder: Path, labels: Path, *, quarters: bool) -> pd.DataFrame:
    """The Belgian dates whose mask is clear, with label, ``part`` (odd or even place in time) and doubts.

    ``untouched`` are those labelled clear, ``bad`` the others but for those touched on 10 % or less.
    ``haze_excess`` and ``blue_excess`` are over the usual levels of the location. With ``quarters`` each
    quarter of the patch is a location of its own; as labels hold for the whole, only the dates that are
    clear or cloudy on half of it or more are kept.
    """
    eye = pd.read_csv(labels, comment="#").set_index("scene_id")
    eye["part"] = np.where(np.arange(len(eye)) % 2, "odd", "even")
    eye["untouched"] = eye["label"] == "clear"
    lightly = eye[["cloud_percent", "shadow_percent"]].max(axis=1) <= LIGHTLY_PERCENT
    eye["bad"] = ~eye["untouched"] & ~lightly
    if quarters:
        eye["part"] += ", quarters"
        eye = eye[eye["untouched"] | (eye["cloud_percent"] >= HALF_PERCENT)]
    size_m = SIDE_M / 2 if quarters else SIDE_M
    corners = [(x, y) for x in (0.0, size_m) for y in (0.0, size_m)] if quarters else [(0.0, 0.0)]
    archive = StacArchive(StacParameters(imagery=str(folder / "items.json")))
    places = [
        Footprint(epsg=32631, west_m=WEST_M + x, north_m=NORTH_M - y, size_m=size_m) for x, y in corners
    ]
    return pd.concat([_belgian_place(archive, place, eye) for place in places], ignore_index=True)


def _belgian_place(archive: StacArchive, place: Footprint, eye: pd.DataFrame) -> pd.DataFrame:
    scenes = archive.search(footprint_polygon(place), date(2017, 1, 1), date(2019, 1, 1))
    stats = {each.scene_id: each for each in archive.judge(scenes, place)}
    series = _whole_series(scenes, stats)
    table = _doubts(series)
    clear = [c for c in series if c.scene.scene_id in set(table["scene_id"])]
    levels = typical_levels(clear, _SEEN)
    if levels.blue is None or levels.haze is None:
        raise ValueError("the Belgian site has too few clear dates to know its usual levels")
    table["blue_excess"] = [stats[i].blue_q95 - levels.blue for i in table["scene_id"]]
    table["haze_excess"] = [stats[i].haze_q50 - levels.haze for i in table["scene_id"]]
    return table.join(eye, on="scene_id", how="inner")


def _whole_series(scenes: Sequence[Scene], stats: Mapping[str, PatchStats]) -> list[Candidate]:
    """Every scene once, in its calendar season."""
    return [
        Candidate(
            season=SEASONS[(scene.time.month - 3) % 12 // 3],
            year=scene.time.year,
            days_from_middle=0,
            scene=scene,
            stats=stats[scene.scene_id],
        )
        for scene in scenes
    ]


def _doubts(series: Sequence[Candidate]) -> pd.DataFrame:
    """One row per candidate that the mask calls clear: whether each set of rules doubts it."""
    found = {name: verdicts_and_opinions(series, rules) for name, rules in OPINIONS.items()}
    clear = [i for i, (_, opinion) in enumerate(found["and haze (all)"]) if opinion is not None]
    columns = {name: [pairs[i][1] in DOUBTS for i in clear] for name, pairs in found.items()}
    return pd.DataFrame({"scene_id": [series[i].scene.scene_id for i in clear], **columns})


def policy_row(name: str, rules: SceneRules, sites: Sequence[Site]) -> dict[str, object]:
    """What a policy chooses over all locations and calendar seasons, beside the truth."""
    chosen = [pair for site in sites for pair in _chosen(site, rules)]
    touched = np.array([site.touched[c.scene.scene_id] for site, c in chosen])
    missing = np.array([site.missing[c.scene.scene_id] for site, c in chosen])
    return {
        "policy": name,
        "seasons": len(sites) * len(SEASONS),
        "served": len(chosen),
        "touched over 10 %": int((touched > TOUCHED).sum()),
        "over half": int((touched > 0.5).sum()),
        "missing over 10 %": int((missing > TOUCHED).sum()),
        "median days from the middle": float(np.median([abs(c.days_from_middle) for _, c in chosen])),
    }


def _chosen(site: Site, rules: SceneRules) -> list[tuple[Site, Candidate]]:
    """The choices of a location, judged as a run would judge them."""
    years = range(min(s.time.year for s in site.scenes) - 1, max(s.time.year for s in site.scenes) + 1)
    windows = [calendar_window(season, year) for season in SEASONS for year in years]
    candidates = candidates_of(site.scenes, windows, rules)
    while pending := to_judge(candidates, rules):
        candidates = with_stats(candidates, [site.stats[c.scene.scene_id] for c in pending])
    return [(site, choice.candidate) for choice in choose(candidates, rules).values() if choice.candidate]


def calendar_window(season: str, year: int) -> SeasonWindow:
    """Three months from March, June, September or December on."""
    month = 3 * SEASONS.index(season) + 3
    start = date(year, month, 1)
    last_month, last_year = (month + 2, year) if month < 12 else (2, year + 1)
    end = date(last_year, last_month, calendar.monthrange(last_year, last_month)[1]) + timedelta(days=1)
    middle = start + (end - start) / 2
    return SeasonWindow(season=season, year=year, start=start, middle=middle, end=end)
