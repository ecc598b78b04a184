"""Every candidate of one location with its scores, and why it was chosen or not, for people."""

from __future__ import annotations

import difflib
from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from ssl4eco_data.errors import ConfigError, StoreError
from ssl4eco_data.pipeline.tables import CANDIDATES, CHOICES
from ssl4eco_data.store import read_table

VERDICTS: Mapping[str, str] = {
    "chosen": "chosen",
    "usable": "usable, comes later",
    "not_judged": "not judged, not needed",
    "scene_cloudy": "tile too cloudy",
    "low_sun": "sun too low",
    "missing": "patch partly missing",
    "cloudy": "cloud on the patch",
    "hazy": "second opinion",
    "unreadable": "unreadable",
}
"""Each verdict in a few words."""
REASONS: Mapping[str, str] = {
    "no_candidates": "no image in the season's window",
    "no_window": "the season has no window here",
    "all_cloudy": "every image is cloudy",
    "all_low_sun": "the sun is too low in every image",
    "all_missing": "no image covers the patch",
    "all_unreadable": "no image can be read",
    "all_rejected": "every image is rejected, or serves another season",
    "too_few_seasons": "the location has too few seasons and is dropped",
}
"""Why a season has no scene."""
WIDE, WIDEST = 90, 150
"""Terminals of so many columns show the tile, and the scene's id."""
_STYLES = {"chosen": "bold green", "usable": "green", "not_judged": "dim", "unreadable": "red"}


def explained(root: Path, location_id: str, season: str = "") -> tuple[pd.DataFrame, pd.DataFrame]:
    """(candidates, choices) of one location, by season and best first; of one ``season`` where it is named.

    Columns as in ``docs/architecture.md``. Raises :class:`~ssl4eco_data.errors.StoreError` where no scenes
    were chosen yet, :class:`~ssl4eco_data.errors.ConfigError` for a location or season that is not there.
    """
    parts = sorted((root / CHOICES).glob("*.parquet"))
    if not parts:
        raise StoreError(f"{root} has no {CHOICES}/*.parquet: `ssl4eco build CONFIG --until scenes` makes it")
    known: list[str] = []
    for path in parts:
        choices = read_table(path)
        mine = choices[choices["location_id"] == location_id]
        if len(mine):
            break
        known += choices["location_id"].unique().tolist()
    else:
        near = difflib.get_close_matches(location_id, known, n=3, cutoff=0) or known[:3]
        raise ConfigError(f"{root} has no location {location_id!r}; it has {', '.join(near)}, ...")
    candidates = read_table(root / CANDIDATES / path.name)
    candidates = candidates[candidates["location_id"] == location_id]
    if season:
        if season not in set(mine["season"]):
            raise ConfigError(f"there is no season {season!r}; they are: {', '.join(mine['season'])}")
        mine, candidates = mine[mine["season"] == season], candidates[candidates["season"] == season]
    return candidates.reset_index(drop=True), mine.reset_index(drop=True)


def show_candidates(candidates: pd.DataFrame, choices: pd.DataFrame, width: int) -> RenderableType:
    """A table per season under a line that says what came out; fewer columns where ``width`` is small."""
    parts: list[RenderableType] = []
    for choice in choices.to_dict("records"):
        mine = candidates[candidates["season"] == choice["season"]]
        parts += [Text(""), _headline(choice, mine)]
        if len(mine):
            parts.append(_table(mine, tile=width >= WIDE, scene=width >= WIDEST))
    notes = (
        "in %: over (cloud over the whole tile), and the shares of the patch; days from the season's middle"
    )
    parts += [Text(""), Text(notes, style="dim")]
    return Group(*parts)


def _headline(choice: Mapping[Hashable, Any], candidates: pd.DataFrame) -> Text:
    judged = int(candidates["judged"].sum())
    counts = f" ({len(candidates)} candidates, {judged} judged)"
    if pd.isna(choice["scene_id"]):
        reason = str(choice["reason"])
        return Text.assemble(
            (f"{choice['season']}: ", "bold"), ("no scene, ", "red"), REASONS.get(reason, reason), counts
        )
    day = pd.Timestamp(choice["time"]).strftime("%Y-%m-%d")
    return Text.assemble((f"{choice['season']}: ", "bold"), (day, "bold green"), counts)


def _table(candidates: pd.DataFrame, *, tile: bool, scene: bool) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0), header_style="bold")
    table.add_column("day", no_wrap=True)
    for name in ("days", "over", "sun", "clear", "snow", "cloud", "shade", "gone", "blue"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("verdict", overflow="fold", min_width=14)
    extra = ["tile"] * tile + ["scene_id"] * scene
    for name in extra:
        table.add_column(name.removesuffix("_id"), no_wrap=True)
    for row in candidates.to_dict("records"):
        verdict = str(row["verdict"])
        cells = [pd.Timestamp(row["time"]).strftime("%Y-%m-%d"), f"{row['days_from_middle']:+d}"]
        cells += [_percent(row["scene_cloud_fraction"]), _number(row["sun_elevation_deg"], "{:.0f}")]
        shares = ("clear", "snow", "cloud", "shadow", "missing")
        cells += [_percent(row[f"{name}_fraction"]) for name in shares]
        cells += [_number(row["blue_q95"], "{:.2f}"), _words(verdict, row)]
        table.add_row(*cells, *(str(row[name]) for name in extra), style=_STYLES.get(verdict, ""))
    return table


def _words(verdict: str, row: Mapping[Hashable, Any]) -> str:
    words = VERDICTS.get(verdict, verdict)
    detail = row["failure"] or (row.get("second_opinion", "") if verdict == "hazy" else "")
    return f"{words}: {str(detail).replace('_', ' ')}" if detail else words


def _percent(fraction: float) -> str:
    return _number(100 * fraction, "{:.0f}")


def _number(value: float, form: str) -> str:
    return "-" if pd.isna(value) else form.format(value)
