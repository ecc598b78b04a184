"""Choosing locations and seasons of a dataset by what they are called and where they lie."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import pandas as pd
import xarray as xr

from ssl4eco_data.types import BoolArray

Labels: TypeAlias = str | Sequence[str]
"""One label or several."""
Box: TypeAlias = tuple[float, float, float, float]
"""(west, south, east, north) in degrees; west > east crosses the antimeridian."""


def select(
    dataset: xr.Dataset,
    *,
    location: Labels | None = None,
    ecoregion: Labels | None = None,
    biome: Labels | None = None,
    realm: Labels | None = None,
    split: Labels | None = None,
    box: Box | None = None,
    season: Labels | None = None,
) -> xr.Dataset:
    """The part of a dataset where everything asked holds, in the dataset's order; nothing is read.

    Several labels of one kind mean any of them. A location is in ``box`` when its centre is, edges
    included. Both dimensions stay, whatever their length; nothing may be left, which is no error. Raises
    ``ValueError`` for a label that nothing here has (it names the nearest), for a kind of label that the
    dataset lacks, and for a box that is none.
    """
    kinds = {"location": location, "ecoregion": ecoregion, "biome": biome, "realm": realm, "split": split}
    keep = np.ones(dataset.sizes["location"], dtype=np.bool_)
    for kind, asked in kinds.items():
        if asked is not None:
            keep &= _having(dataset, kind, asked)
    if box is not None:
        keep &= in_box(dataset["lon"].to_numpy(), dataset["lat"].to_numpy(), box)
    parts = {} if keep.all() else {"location": np.flatnonzero(keep)}
    if season is not None:
        parts["season"] = np.flatnonzero(_having(dataset, "season", season))
    return dataset.isel(parts)


def in_box(lon_deg: npt.NDArray[np.float64], lat_deg: npt.NDArray[np.float64], box: Box) -> BoolArray:
    """Whether points lie in the box or on its edge. Raises ``ValueError`` for a box that is none."""
    if isinstance(box, str) or len(box) != 4:
        raise ValueError(f"box must be (west, south, east, north) in degrees, got {box!r}")
    west, south, east, north = box
    if not (-180 <= west <= 180 and -180 <= east <= 180 and -90 <= south <= north <= 90):
        raise ValueError(
            "box must be (west, south, east, north) in degrees, longitudes in [-180, 180] and "
            f"-90 <= south <= north <= 90, got {box}"
        )
    after, before = lon_deg >= west, lon_deg <= east
    within = after & before if west <= east else after | before
    seam = abs(west) == 180 or abs(east) == 180  # the meridian at 180 degrees has two names
    within = within | (np.abs(lon_deg) == 180) if seam else within
    return np.asarray(within & (lat_deg >= south) & (lat_deg <= north))


def refuse_unknown(kind: str, asked: Sequence[str], known: npt.NDArray[np.object_]) -> None:
    """Raise ``ValueError`` for the first label asked that is not known; it names the nearest."""
    there = set(known.tolist()) - {""}
    for label in asked:
        if label not in there:
            names = sorted(map(str, there))
            near = difflib.get_close_matches(str(label), names, n=3, cutoff=0.5)
            hint = f"did you mean {' or '.join(map(repr, near))}?" if near else f"there are {_some(names)}"
            raise ValueError(f"no {kind} {label!r} in this dataset; {hint}")


def _having(dataset: xr.Dataset, kind: str, asked: Labels) -> BoolArray:
    if kind not in dataset.coords:
        raise ValueError(f"the locations of this dataset have no {kind}")
    labels = [asked] if isinstance(asked, str) else list(asked)
    known = dataset[kind].to_numpy().astype(object)
    refuse_unknown(kind, labels, known)
    return np.asarray(pd.Index(known).isin(labels))


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    return (", ".join(names[:5]) or "none") + more
