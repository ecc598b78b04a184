"""Builders and Hypothesis strategies of candidate scenes."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

from hypothesis import strategies as st

from ssl4eco_data.scenes import Candidate
from ssl4eco_data.types import PatchStats, Scene, SeasonWindow

EPSG = 32631


def make_scene(
    scene_id: str, when: datetime, *, acquisition: str = "", cloud: float = 0.0, sun: float = 40.0
) -> Scene:
    return Scene(
        scene_id=scene_id,
        acquisition=acquisition or scene_id,
        tile="31UDS",
        time=when,
        epsg=EPSG,
        tile_west_m=399960.0,
        tile_north_m=5700000.0,
        cloud_fraction=cloud,
        sun_elevation_deg=sun,
    )


def make_stats(
    scene_id: str, *, cloud: float = 0.0, snow: float = 0.0, missing: float = 0.0, blue: float = 0.1
) -> PatchStats:
    return PatchStats(
        scene_id=scene_id,
        clear_fraction=1 - cloud - snow - missing,
        snow_fraction=snow,
        shadow_fraction=0.0,
        cloud_fraction=cloud,
        missing_fraction=missing,
        blue_q95=blue,
    )


def make_candidate(
    season: str,
    year: int,
    days: int,
    name: str,
    *,
    acquisition: str = "",
    stats: PatchStats | None = None,
    cloud: float = 0.0,
    sun: float = 40.0,
) -> Candidate:
    when = datetime(year, 7, 1, 11, tzinfo=UTC) + timedelta(days=days)
    scene = make_scene(name, when, acquisition=acquisition, cloud=cloud, sun=sun)
    return Candidate(season=season, year=year, days_from_middle=days, scene=scene, stats=stats)


def clear(
    season: str, year: int, days: int, name: str, *, acquisition: str = "", blue: float = 0.1
) -> Candidate:
    stats = make_stats(name, blue=blue)
    return make_candidate(season, year, days, name, acquisition=acquisition, stats=stats)


def window(season: str, year: int, middle: date, half: int) -> SeasonWindow:
    return SeasonWindow(
        season=season,
        year=year,
        start=middle - timedelta(days=half),
        middle=middle,
        end=middle + timedelta(days=half),
    )


@st.composite
def candidate_lists(draw: st.DrawFn, *, judged: bool = True) -> list[Candidate]:
    """Up to 14 candidates of three seasons and three years with few acquisitions, so that they clash."""
    drawn = []
    for number in range(draw(st.integers(0, 14))):
        name = f"S{number:02d}"
        cloud = draw(st.sampled_from([0.0, 0.05, 0.3]))
        snow = draw(st.sampled_from([0.0, 0.0, 0.5]))
        blue = draw(st.sampled_from([0.05, 0.1, 0.12, 0.3]))
        known = judged or draw(st.booleans())
        drawn.append(
            make_candidate(
                draw(st.sampled_from(["spring", "summer", "winter"])),
                draw(st.integers(2019, 2021)),
                draw(st.integers(-5, 5)),
                name,
                acquisition=draw(st.sampled_from(["A", "B", "C", name])),
                stats=make_stats(name, cloud=cloud, snow=snow, blue=blue) if known else None,
                cloud=draw(st.sampled_from([0.0, 0.1, 0.9])),
                sun=draw(st.sampled_from([5.0, 40.0])),
            )
        )
    return drawn
