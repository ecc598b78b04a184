"""Which locations the page shows when it cannot show all: even along the table, fair to every biome."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd


def spread(count: int, at_most: int) -> list[int]:
    """At most ``at_most`` of the indices ``0 … count - 1``, evenly spaced, in order.

    Locations are sorted along a space-filling curve, so this is even over the ground too.
    """
    if count <= at_most:
        return list(range(count))
    return [i * count // at_most for i in range(at_most)]


def fair(groups: Sequence[str], at_most: int) -> list[int]:
    """At most ``at_most`` row numbers in ascending order, as equally many of every group as there are.

    Rows of a group are evenly spaced; what small groups leave over goes to the larger ones.
    """
    members: dict[str, list[int]] = {}
    for row, group in enumerate(groups):
        members.setdefault(group, []).append(row)
    chosen: list[int] = []
    left = at_most
    ordered = sorted(members, key=lambda g: (len(members[g]), g))
    for done, group in enumerate(ordered):
        share = min(len(members[group]), left // (len(ordered) - done))
        chosen += [members[group][i] for i in spread(len(members[group]), share)] if share else []
        left -= share
    return sorted(chosen)


def examples(
    locations: pd.DataFrame, phenology: pd.DataFrame, choices: pd.DataFrame, at_most: int
) -> list[int]:
    """One row number per biome (the commonest biomes first): dates of its own, then most seasons found."""
    found = choices.groupby("row")["found"].sum().reindex(range(len(locations)), fill_value=0)
    own: pd.Series[bool] = pd.Series(False, index=range(len(locations)))
    if len(phenology):
        good = phenology.loc[phenology["status"] == "ok", "location_id"]
        own = pd.Series(locations["location_id"].isin(good).to_numpy())
    ranked = pd.DataFrame(
        {"biome": locations["biome"].to_numpy(), "own": own.to_numpy(), "found": found.to_numpy()}
    ).sort_values(["own", "found"], ascending=False, kind="stable")
    first = ranked.reset_index(names="row").drop_duplicates("biome")
    counts = locations["biome"].value_counts()
    order = sorted(zip(first["biome"], first["row"], strict=True), key=lambda p: (-int(counts[p[0]]), p[0]))
    return [int(row) for _, row in order[:at_most]]
