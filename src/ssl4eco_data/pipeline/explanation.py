"""Every candidate of one location with its scores, and why it was chosen or not, for people."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Hashable, Mapping, Sequence
from functools import partial
from typing import Any, Literal, NamedTuple

import pandas as pd
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from ssl4eco_data.errors import ConfigError, StoreError
from ssl4eco_data.pipeline.tables import CANDIDATES, CHOICES
from ssl4eco_data.store import parts_in, read_table
from ssl4eco_data.store.objects import Place

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
    "not_listed": "the list of images names none",
    "not_in_archive": "the archive does not have the image of the list",
    "other_zone": "the image of the list is in another UTM zone than the patch",
    "too_few_seasons": "the location has too few seasons and is dropped",
}
"""Why a season has no scene."""
OPINIONS: Mapping[str, str] = {
    "clear": "like the place's other clear images",
    "unknown": "too few clear images to compare with",
    "bright": "brighter in blue than the place's other images",
    "hazy": "a veil over the place's usual colours",
    "lone_snow": "snow that no other clear image of the season shows",
    "model": "the cloud model sees cloud or shadow",
}
"""What each second opinion means."""
WIDE, WIDEST = 100, 150
"""Terminals of so many columns show the second opinion and the tile, and haze and the scene's id."""
_STYLES = {"chosen": "bold green", "usable": "green", "not_judged": "dim", "unreadable": "red"}


class Column(NamedTuple):
    """A column of the table: its head, and the cell of a candidate."""

    head: str
    of: Callable[[Mapping[Hashable, Any]], str]
    justify: Literal["left", "right"] = "right"


def explained(root: Place, location_id: str, season: str = "") -> tuple[pd.DataFrame, pd.DataFrame]:
    """(candidates, choices) of one location, by season and best first; of one ``season`` where it is named.

    Columns as in ``docs/architecture.md``. Raises :class:`~ssl4eco_data.errors.StoreError` where no scenes
    were chosen yet, :class:`~ssl4eco_data.errors.ConfigError` for a location or season that is not there.
    """
    if not root.is_dir():
        raise StoreError(f"there is no folder {root}: name the folder of a dataset")
    parts = parts_in(root / CHOICES, ".parquet")
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
    candidates = _completed(candidates)
    if season:
        if season not in set(mine["season"]):
            raise ConfigError(f"there is no season {season!r}; they are: {', '.join(mine['season'])}")
        mine, candidates = mine[mine["season"] == season], candidates[candidates["season"] == season]
    return candidates.reset_index(drop=True), mine.reset_index(drop=True)


def _completed(candidates: pd.DataFrame) -> pd.DataFrame:
    """With the columns that a dataset of an earlier version lacks, empty."""
    numbers = {name: float("nan") for name in ("blue_q95", "haze_q50", "score_clear_fraction")}
    added: dict[str, Any] = {**numbers, "second_opinion": "", "failure": ""}
    return candidates.assign(**{k: v for k, v in added.items() if k not in candidates.columns})


def show_candidates(candidates: pd.DataFrame, choices: pd.DataFrame, width: int) -> RenderableType:
    """A table per season under a line that says what came out; fewer columns where ``width`` is small."""
    parts: list[RenderableType] = []
    for choice in choices.to_dict("records"):
        mine = candidates[candidates["season"] == choice["season"]]
        parts += [Text(""), _headline(choice, mine)]
        if len(mine):
            parts.append(_table(mine, _columns(mine, width)))
    notes = [
        "in %: over (cloud over the whole tile), and the shares of the patch; days from the season's middle",
        "sun in degrees above the horizon; blue and haze as reflectance",
    ]
    said = [name for name in OPINIONS if (candidates["second_opinion"] == name).any()]
    if said:
        notes += ["second opinion:", *(f"  {_plain(name)}: {OPINIONS[name]}" for name in said)]
    parts += [Text(""), *(Text(note, style="dim") for note in notes)]
    return Group(*parts)


def _headline(choice: Mapping[Hashable, Any], candidates: pd.DataFrame) -> Text:
    judged = int(candidates["judged"].sum())
    counts = f" ({len(candidates)} candidate{'s' * (len(candidates) != 1)}, {judged} judged)"
    if pd.isna(choice["scene_id"]):
        reason = str(choice["reason"])
        return Text.assemble(
            (f"{choice['season']}: ", "bold"), ("no scene, ", "red"), REASONS.get(reason, reason), counts
        )
    day = pd.Timestamp(choice["time"]).strftime("%Y-%m-%d")
    return Text.assemble((f"{choice['season']}: ", "bold"), (day, "bold green"), counts)


def _columns(candidates: pd.DataFrame, width: int) -> list[Column]:
    """What is shown of each candidate, as wide as the terminal allows."""
    shares = {"clear": "clear", "snow": "snow", "cloud": "cloud", "shadow": "shade", "missing": "gone"}
    found = [
        Column("day", lambda row: pd.Timestamp(row["time"]).strftime("%Y-%m-%d"), "left"),
        Column("days", lambda row: f"{row['days_from_middle']:+d}"),
        Column("over", lambda row: _percent(row["scene_cloud_fraction"])),
        Column("sun", lambda row: _number(row["sun_elevation_deg"], "{:.0f}")),
        *(Column(head, partial(_share, f"{name}_fraction")) for name, head in shares.items()),
        Column("blue", lambda row: _number(row["blue_q95"], "{:.2f}")),
    ]
    if width >= WIDEST:
        found.append(Column("haze", lambda row: _number(row["haze_q50"], "{:.3f}")))
    if candidates["score_clear_fraction"].notna().any():
        found.append(Column("score", lambda row: _percent(row["score_clear_fraction"])))
    if width >= WIDE:
        found.append(Column("opinion", lambda row: _plain(row["second_opinion"]) or "-", "left"))
    found.append(Column("verdict", _words, "left"))
    if width >= WIDE:
        found += [Column("tile", lambda row: row["tile"], "left")]
    if width >= WIDEST:
        found += [Column("scene", lambda row: row["scene_id"], "left")]
    return found


def _table(candidates: pd.DataFrame, columns: Sequence[Column]) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0), header_style="bold")
    for column in columns:
        if column.head == "verdict":
            table.add_column(column.head, overflow="fold", min_width=14)
        else:
            table.add_column(column.head, justify=column.justify, no_wrap=True)
    for row in candidates.to_dict("records"):
        cells = [str(column.of(row)) for column in columns]
        table.add_row(*cells, style=_STYLES.get(str(row["verdict"]), ""))
    return table


def _share(name: str, row: Mapping[Hashable, Any]) -> str:
    return _percent(row[name])


def _words(row: Mapping[Hashable, Any]) -> str:
    verdict = str(row["verdict"])
    words = VERDICTS.get(verdict, verdict)
    detail = row["failure"] or (_plain(row["second_opinion"]) if verdict == "hazy" else "")
    return f"{words}: {detail}" if detail else words


def _plain(name: str) -> str:
    return str(name).replace("_", " ")


def _percent(fraction: float) -> str:
    return _number(100 * fraction, "{:.0f}")


def _number(value: float, form: str) -> str:
    return "-" if pd.isna(value) else form.format(value)
