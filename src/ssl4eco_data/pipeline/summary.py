"""The facts of a dataset for people: a table at the end of a build, and the next commands to type."""

from __future__ import annotations

import shutil
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from rich.table import Table

from ssl4eco_data.archives.flow_control import add_traffic
from ssl4eco_data.archives.window import Traffic
from ssl4eco_data.config import Config
from ssl4eco_data.locations import GridSource, split_for_area
from ssl4eco_data.pipeline import tables
from ssl4eco_data.pipeline.display import console, two_columns
from ssl4eco_data.pipeline.record import RunRecord
from ssl4eco_data.store import Place, bytes_below

STRATA_SHOWN = 12
MUCH_LOST = 0.2
COUNTS = ("available", "asked", "got")


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """Facts in the order they are shown; ``coverage`` has a row of patches found by season for each biome."""

    title: str
    facts: tuple[tuple[str, str], ...]
    seasons: tuple[str, ...]
    coverage: tuple[tuple[str, ...], ...]
    page: Place
    root: Place

    def markdown(self) -> str:
        """As Markdown tables, for a Prefect artifact."""
        facts = _markdown_table(("", ""), self.facts)
        coverage = _markdown_table(("biome", *self.seasons), self.coverage)
        return f"# {self.title}\n\n{facts}\n\n## Season coverage\n\n{coverage}\n\nPage: `{self.page}`\n"

    def show(self) -> None:
        """On the terminal, with the next commands."""
        console.print()
        console.print(two_columns(self.title, list(self.facts)))
        console.print(f"\ndataset  {self.root}\npage     {self.page}\n")
        command = _as_typed("ssl4eco")
        console.print("next:")
        console.print(f"  {command} info {self.root}      what is in it")
        console.print(f"  {command} check {self.root}     read every byte back")
        code = f"import ssl4eco_data as s; print(s.open_dataset('{self.root}'))"
        console.print(f'  {_as_typed("python")} -c "{code}"')


def show_sample(config: Config) -> None:
    """The sample on the terminal: what each stratum got, what was mended on the way."""
    located, strata = tables.locations(config), tables.strata(config)
    by = config.locations.allocation.by
    facts = [("locations", str(len(located)))]
    facts += [(f"  {split}", str(n)) for split, n in located["split"].value_counts().sort_index().items()]
    facts += [(words, str(n)) for words, n in _noted(tables.sample_counts(config))]
    console.print(two_columns(config.dataset.title, facts))
    table = Table(f"{len(strata)} strata by {by}", box=None)
    for name in COUNTS:
        table.add_column(name, justify="right")
    largest = strata.sort_values(["available", "stratum"], ascending=[False, True], kind="stable")
    for name, *cells in largest.head(STRATA_SHOWN)[["stratum", *COUNTS]].to_numpy().tolist():
        table.add_row(name or "(no labels)", *(f"{n:,}" for n in cells))
    rest = largest.iloc[STRATA_SHOWN:]
    if len(rest):
        sums = (f"{rest[name].sum():,}" for name in COUNTS)
        table.add_row(f"{len(rest)} more", *sums, style="dim")
    console.print(table)
    short = int((strata["got"] < strata["asked"]).sum())
    if short:
        console.print(f"{short} strata have fewer cells than asked; the others got theirs")
    lost = float((located[by] == "none").mean())
    if lost > MUCH_LOST:
        console.print(f"{lost:.0%} of the locations are in no {by}: does locations.strata cover the area?")
    if lacking := _lacking_splits(config, located):
        console.print(f"no location is in {lacking}: {_blocks_that_fit(config, strata)}")


def _blocks_that_fit(config: Config, strata: pd.DataFrame) -> str:
    """Advice on blocks of which the area holds some forty."""
    now = (
        f"blocks of locations.split.block_km = {config.locations.split.block_km:g} are too large for the area"
    )
    source = config.locations.source
    if not isinstance(source, GridSource):
        return now
    fit = split_for_area(float(strata["available"].sum()) * source.spacing_km**2)
    return f"{now}; block_km = {fit.block_km:g} with buffer_km = {fit.buffer_km:g} would fit"


def _lacking_splits(config: Config, located: pd.DataFrame) -> str:
    wanted = {"val": config.locations.split.val_fraction, "test": config.locations.split.test_fraction}
    got = set(located["split"])
    return " and ".join(name for name, share in wanted.items() if share and name not in got)


def _noted(counts: Mapping[str, int]) -> list[tuple[str, str]]:
    said = {
        "mended_polygons": "invalid polygons mended",
        "labelled_by_nearest": "cells outside all polygons, labelled by the nearest",
        "unlabelled": "cells too far outside, without label",
        "dates_missing": "dates missing, without a scene",
        "strata_without_place": "strata without any location: means leave them out, see minimum",
        "dates_outside_imagery": "dates outside the imagery's period, without a scene",
    }
    return [(said[name], str(counts[name])) for name in said if counts.get(name)]


def _as_typed(command: str) -> str:
    """A command of this environment as a person here must type it."""
    ours = Path(sys.executable).parent / command
    found = shutil.which(command)
    if not ours.exists() or (found and Path(found).resolve() == ours.resolve() and command != "python"):
        return command
    try:
        return str(ours.relative_to(Path.cwd()))
    except ValueError:
        return str(ours)


def summarise_dataset(config: Config, record: RunRecord | None) -> Summary:
    """Counts and sizes of a finished dataset; with ``record``, the times of the run that made it."""
    root = config.root
    located = tables.locations(config)
    choices = tables.parts(config, tables.CHOICES).merge(
        tables.parts(config, tables.QUALITY), how="left", on=["location_id", "season"]
    )
    unreadable = choices["failure"].fillna("") != ""
    present = choices["scene_id"].notna() & ~unreadable
    found = int(present.sum())
    facts = [
        ("locations", f"{len(located)} in {located['biome'].nunique()} biomes"),
        ("seasons found", f"{found} of {len(choices)} ({found / max(len(choices), 1):.0%})"),
    ]
    reasons = choices["reason"].mask(unreadable, "unreadable")[~present].value_counts().sort_index()
    facts += [(f"  missing: {reason}", str(count)) for reason, count in reasons.items()]
    facts.append(("bytes", _size(bytes_below(root))))
    if record is None or not record.stages:
        facts.append(("this run", "nothing to do, the dataset is complete"))
    else:
        facts.append(("this run", f"{sum(s['seconds'] for s in record.stages):.1f} s"))
        facts += [(f"  {s['stage']}", f"{s['seconds']:.1f} s, {_blocks(s['blocks'])}") for s in record.stages]
        facts += _traffic(record)
    return Summary(
        title=config.dataset.title,
        facts=tuple(facts),
        seasons=config.seasons,
        coverage=_coverage(choices.assign(present=present), located, config.seasons),
        page=root / "report" / "index.html",
        root=root,
    )


def _blocks(count: int) -> str:
    return f"{count:,} block{'s' * (count != 1)}"


def _traffic(record: RunRecord) -> list[tuple[str, str]]:
    """What went between the run and each server."""
    stages = [
        {server: Traffic(**counted) for server, counted in stage["traffic"].items()}
        for stage in record.stages
    ]
    return [(f"  from {server}", _said(counted)) for server, counted in add_traffic(stages).items()]


def _said(counted: Traffic) -> str:
    """``1,234 requests, 5.6 MB``, and what went wrong where something did."""
    trouble = {
        "tried again": counted.retries,
        "throttled": counted.throttled,
        "given up for now": counted.transient,
        "unreadable": counted.permanent,
    }
    parts = [f"{counted.requests:,} requests"]
    parts += [_size(counted.received_bytes)] * (counted.received_bytes > 0)
    parts += [f"{number:,} {name}" for name, number in trouble.items() if number]
    parts += [f"{counted.waited_s:.1f} s waited"] * (counted.waited_s >= 0.05)
    return ", ".join(parts)


def _coverage(
    choices: pd.DataFrame, located: pd.DataFrame, seasons: Sequence[str]
) -> tuple[tuple[str, ...], ...]:
    """For each biome "found/all" of each season."""
    both = choices.merge(located[["location_id", "biome"]], on="location_id")
    every = Counter(zip(both["biome"], both["season"], strict=True))
    got = both[both["present"]]
    found = Counter(zip(got["biome"], got["season"], strict=True))
    biomes = sorted({biome for biome, _ in every})
    return tuple((b, *(f"{found[b, s]}/{every[b, s]}" for s in seasons)) for b in biomes)


def _markdown_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(
        "| " + " | ".join(cell.strip().replace("|", "/") for cell in line) + " |" for line in lines
    )


def _size(count: float) -> str:
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:.3g} TB"
