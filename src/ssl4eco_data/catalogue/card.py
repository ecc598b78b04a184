"""The dataset card: ``README.md`` beside the data, as dataset hubs read it.

It depends on the dataset alone, never on a clock, so that it is the same again.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ssl4eco_data.catalogue.citation import Citation
from ssl4eco_data.catalogue.facts import Facts
from ssl4eco_data.catalogue.sources import COPERNICUS_TERMS, span

CARD_FILE = "README.md"
LISTED = 20
"""Labels that a table of the card lists; the rest is in ``locations.parquet``."""
_TAGS = ("ecology", "phenology", "remote-sensing", "sentinel-2", "self-supervised-learning", "zarr")
_SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"))
"""Categories of the hubs, by the number that is beyond each."""
_FILES = {
    "`patches.zarr`": "the patches and all that is known of them: Zarr v3, group `sentinel2`, sharded",
    "`items.parquet`, `collection.json`": "one row per patch (stac-geoparquet); the STAC collection",
    "`locations.parquet`": "one row per location (GeoParquet)",
    "`weights.parquet`": "how often to draw each location in training",
    "`phenology.parquet`, `phenology/`": "dates of the vegetation cycle, season windows, the series",
    "`scenes/`": "every image considered, its scores, and the reason it was taken or not",
    "`config.toml`, `ledger/`": "what it was made by, and a checksum of every file",
}
_REASONS = {
    "no_candidates": "the archive has no image in the window",
    "all_cloudy": "every image is cloudy on the patch",
    "all_low_sun": "the sun is too low in every image",
    "all_missing": "every image has gaps on the patch",
    "all_unreadable": "no image could be read",
    "all_rejected": "every image was rejected, for different reasons",
    "no_window": "the location has no season window",
    "too_few_seasons": "the location has too few seasons and was dropped",
    "not_listed": "the list of images names none",
    "not_in_archive": "the archive does not have the listed image",
    "other_zone": "the listed image lies in another UTM zone",
    "unreadable": "the chosen image could not be read",
}
_LIMITS = """\
- Seasons of one location may come from different years: `time` has each patch's day.
- Clouds are judged by the product's own classification and a second opinion; some clouds and shadows
  remain.
- Where locations were not drawn with equal probability, means over the ground need the weight
  `1 / inclusion_probability`.
- `split` is `buffer` where a location lies too near another split: use it for none."""
_LOADING = """\
## How to load it

Python, with labels and maps, by the package `ssl4eco-data`:

```python
import ssl4eco_data

dataset = ssl4eco_data.open_dataset("path/to/this/folder")  # pixels are read when asked for
location = str(dataset["location"][0].item())
cube = ssl4eco_data.cube(dataset, location, SEASON)  # (band, y, x) at 10 m with its CRS
```

Python, with any reader of Zarr v3 that knows shards; text is coded, as its attributes say:

```python
import xarray as xr

raw = xr.open_zarr("path/to/this/folder/patches.zarr", group="sentinel2")
```

R reads the tables as they are; `ssl4eco export` writes patches as GeoTIFFs for `terra` and QGIS:

```r
library(arrow)
items <- read_parquet("items.parquet")          # one row per patch
locations <- read_parquet("locations.parquet")  # one row per location
```

`items.parquet` has each patch's place along the axes `location` and `season` of the arrays, counted from 0:
`ssl4eco:location_index` and `ssl4eco:season_index`."""


def card(facts: Facts, citation: Citation, making: Sequence[str]) -> str:
    """The card as Markdown with a YAML header.

    ``making`` says in sentences how locations and images were taken.
    """
    parts = [
        _header(facts, citation),
        _summary(facts, citation.simulated),
        _contents(facts),
        _LOADING.replace("SEASON", json.dumps(facts.seasons[0], ensure_ascii=False)),
        _making(citation, making),
        _limits(facts),
        _terms(citation),
        _citing(citation),
    ]
    return "\n\n".join(parts) + "\n"


def dating(config: Mapping[str, Any]) -> str:
    """How the images of the seasons were chosen, in one sentence, by the resolved configuration."""
    if config.get("scenes", {}).get("policy") == "list":
        return "The images are those of a list."
    if config.get("locations", {}).get("source", {}).get("date_fields"):
        return "For each date that a location brought, the clear image nearest to it was taken."
    rule = str(config.get("phenology", {}).get("date_rule", "phenological"))
    windows = {
        "phenological": "The dates of each place's own vegetation cycle set its season windows",
        "calendar": "The calendar sets the season windows",
    }.get(rule, f"The date rule {rule} sets the season windows")
    return f"{windows}; in each the clear image nearest the middle was taken."


def _header(facts: Facts, citation: Citation) -> str:
    """The YAML block; every value is JSON, which is YAML too."""
    terms = {"license_name": "copernicus-sentinel-data", "license_link": COPERNICUS_TERMS}
    values: dict[str, Any] = {
        "pretty_name": facts.title,
        "license": "other",
        **({"license_name": "simulated"} if citation.simulated else terms),
        "tags": [*_TAGS, *(["simulated"] if citation.simulated else [])],
        "size_categories": [next((name for top, name in _SIZES if facts.n_patches < top), "1M<n<10M")],
    }
    lines = [f"{name}: {json.dumps(value, ensure_ascii=False)}" for name, value in values.items()]
    return "\n".join(["---", *lines, "---"])


def _summary(facts: Facts, simulated: bool) -> str:
    taken = f", taken {facts.start:%Y-%m-%d} to {facts.end:%Y-%m-%d}" if facts.start and facts.end else ""
    return (
        f"# {_plain(facts.title)}\n\n"
        f"{facts.n_patches:,} {'simulated ' * simulated}Sentinel-2 patches of {facts.locations:,} locations"
        f"{taken}: {facts.size_m:g} m a side, at the native 10, 20 and 60 m in the image's UTM zone. Each "
        f"location has one clear patch per season ({', '.join(map(_plain, facts.seasons))}), where there "
        "is one."
    )


def _contents(facts: Facts) -> str:
    west, south, east, north = facts.box
    bands = (
        f"Bands {', '.join(facts.bands)} as surface reflectance x 10 000 (uint16, 0 = no data), and the "
        f"scene classification. Longitude {west:.2f} to {east:.2f}, latitude {south:.2f} to {north:.2f} "
        "degrees."
    )
    files = [f"| {name} | {what} |" for name, what in _FILES.items()]
    lines = ["## What is in it", "", "| file | what |", "|---|---|", *files, "", bands, ""]
    lines += _table("season", "patches", facts.patches)
    for label, counts in facts.places.items():
        if counts:
            lines += ["", *_table(label, "locations", counts)]
    return "\n".join(lines)


def _table(label: str, what: str, counts: Mapping[str, int]) -> Iterator[str]:
    """Rows of a Markdown table; the most frequent of many, ties by name."""
    yield f"| {label} | {what} |"
    yield "|---|---:|"
    listed = list(counts.items())
    if len(listed) > LISTED:
        listed = sorted(listed, key=lambda item: (-item[1], item[0]))[:LISTED]
    yield from (f"| {_plain(name)} | {count:,} |" for name, count in listed)
    if rest := len(counts) - len(listed):
        yield f"| and {rest:,} more | {sum(counts.values()) - sum(n for _, n in listed):,} |"


def _making(citation: Citation, making: Sequence[str]) -> str:
    years = f"Years of the images: {span(citation.years)}." if citation.years else "There are no images."
    same = "`config.toml` has every parameter; the same configuration and archive give the same bytes."
    sources = [f"- {_plain(s.name)}: {s.used_for}" for s in citation.sources]
    lines = ["## How it was made", "", _plain(" ".join(making)), "", same, "", "Sources:", "", *sources]
    return "\n".join([*lines, "", years])


def _limits(facts: Facts) -> str:
    lines = ["## Limits", "", _LIMITS]
    if missing := sum(facts.missing.values()):
        lines += [f"- {missing:,} seasons have no patch:", "", "| reason | seasons | |", "|---|---:|---|"]
        lines += [f"| `{name}` | {n:,} | {_REASONS.get(name, '')} |" for name, n in facts.missing.items()]
    return "\n".join(lines)


def _terms(citation: Citation) -> str:
    shown = "\n>\n".join(f"> {_plain(sentence)}" for sentence in citation.attribution)
    lines = ["## Licence and attribution", "", "Show this with every use of the data:", "", shown]
    if terms := [source for source in citation.sources if source.license]:
        lines += ["", "| source | terms |", "|---|---|"]
        lines += [f"| {_plain(source.name)} | <{source.license}> |" for source in terms]
    return "\n".join(lines)


def _citing(citation: Citation) -> str:
    return (
        "## How to cite\n\n"
        "Cite the work that the method comes from, and the sources; `ssl4eco cite` prints the same.\n\n"
        f"```bibtex\n{citation.bibtex().rstrip()}\n```"
    )


def _plain(text: str) -> str:
    """Text that Markdown takes as it is written."""
    return "".join(f"\\{c}" if c in "\\`*_[]<>#|" else c for c in text.replace("\n", " "))
