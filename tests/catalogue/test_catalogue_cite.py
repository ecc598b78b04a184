"""`ssl4eco cite`: what is due follows from sources and years, and the BibTeX parses."""

from __future__ import annotations

import json
import re
import shutil
import tomllib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.conftest import ROOT
from typer.testing import CliRunner

from ssl4eco_data import config as configuration
from ssl4eco_data import open_dataset
from ssl4eco_data.catalogue import cite_dataset, describe_citation, references
from ssl4eco_data.catalogue.citation import citation_of
from ssl4eco_data.catalogue.references import Reference
from ssl4eco_data.catalogue.sources import modis_products, sources_of, span
from ssl4eco_data.cli import app
from ssl4eco_data.errors import StoreError
from ssl4eco_data.store import Layout

EARTH_ENGINE = {
    "kind": "earth_engine",
    "imagery": "COPERNICUS/S2_SR_HARMONIZED",
    "vegetation": "MODIS/061/MOD13Q1",
    "phenology_product": "MODIS/061/MCD12Q2",
    "cloud_score": "GOOGLE/CLOUD_SCORE_PLUS/V1/S2_HARMONIZED",
}
STAC = {
    "kind": "stac",
    "imagery": "https://earth-search.aws.element84.com/v1",
    "collection": "sentinel-2-c1-l2a",
}


def parsed(text: str) -> dict[str, tuple[str, dict[str, str]]]:
    """Key -> (kind, fields); strict: braces balance and nothing is left over between entries."""
    entries, at = {}, 0
    while found := re.compile(r"\s*@(\w+)\{([\w:-]+),").match(text, at):
        at, fields = found.end(), {}
        while field := re.compile(r"\s*(\w+)\s*=\s*\{").match(text, at):
            start = at = field.end()
            depth = 1
            while depth:
                depth += {"{": 1, "}": -1}.get(text[at], 0)
                at += 1
            fields[field[1]] = text[start : at - 1]
            assert text[at] == ",", text[at - 20 : at + 20]
            at += 1
        end = re.compile(r"\s*\}").match(text, at)
        assert end, text[at : at + 40]
        at = end.end()
        assert found[2] not in entries, f"{found[2]} is there twice"
        entries[found[2]] = (found[1], fields)
    assert not text[at:].strip(), text[at : at + 60]
    return entries


def due(archive: dict[str, Any], **sections: Any) -> tuple[str, dict[str, tuple[str, dict[str, str]]]]:
    """(attribution, BibTeX entries) of a dataset with this archive and images of 2019 and 2021."""
    citation = citation_of("A", {"archive": archive, **sections}, [2021, 2019])
    return " ".join(citation.attribution), parsed(citation.bibtex())


def test_years_come_from_the_datasets_own_times(built_config: Path) -> None:
    root = built_config.parent / "dataset"
    citation = cite_dataset(root)
    assert citation.years == (2020, 2021, 2022)
    assert citation.title == "tiny"
    assert citation.simulated
    assert citation.attribution == ("Simulated imagery and vegetation series: no satellite data.",)
    assert list(parsed(citation.bibtex())) == ["plekhanova2025ssl4eco", "ssl4ecodata"]


def test_simulated_data_say_so_wherever_their_terms_are_read(built_config: Path) -> None:
    attributes = open_dataset(built_config.parent / "dataset").attrs
    collection = json.loads((built_config.parent / "dataset/collection.json").read_text())
    for text in (
        attributes["attribution"],
        attributes["license"],
        attributes["source"],
        *collection["keywords"][-1:],
    ):
        assert "simulated" in text.lower()
    assert "Copernicus" not in json.dumps(collection) + str(attributes)
    real = Layout(n_locations=1, seasons=("spring",), size_m=160.0, bands=("B04",)).attributes()
    assert "Copernicus" in real["attribution"] and "imulated" not in str(real)


def test_a_stac_archive_with_modis_from_planetary_computer() -> None:
    both = {**STAC, "vegetation": "https://planetarycomputer.microsoft.com/api/stac/v1"}
    text, works = due({**both, "vegetation_collection": "modis-13Q1-061", "sign": "planetary-computer"})
    assert text.startswith("Contains modified Copernicus Sentinel data 2019, 2021. ")
    assert "MOD13Q1 version 061" in text and "MYD13Q1 version 061" in text
    assert "Planetary Computer" in text and "Earth Search" in text
    assert works["didan2021mod13q1"][1]["doi"] == "10.5067/MODIS/MOD13Q1.061"
    assert works["didan2021myd13q1"][1]["title"].startswith("{MYD13Q1} MODIS/Aqua")
    assert "microsoft2022planetarycomputer" in works
    assert not {"gorelick2017earthengine", "pasquarella2023cloudscore"} & set(works)


def test_dates_from_the_imagery_itself_owe_nothing_to_modis() -> None:
    text, works = due({**STAC, "vegetation_collection": "modis-13Q1-061", "sign": "none"})
    assert "MODIS" not in text
    assert not any("didan" in key for key in works)
    assert "Planetary" not in text


@pytest.mark.parametrize(
    ("source", "there", "gone"),
    [
        ("series", "didan2021mod13q1", "friedl2022mcd12q2"),
        ("mcd12q2", "friedl2022mcd12q2", "didan2021mod13q1"),
    ],
)
def test_earth_engine_and_the_product_that_was_read(source: str, there: str, gone: str) -> None:
    text, works = due(EARTH_ENGINE, phenology={"source": source})
    assert "Google Earth Engine" in text and "Cloud Score+" in text
    assert there in works and gone not in works
    assert {"gorelick2017earthengine", "pasquarella2023cloudscore"} <= set(works)
    without, fewer = due({**EARTH_ENGINE, "cloud_score": ""}, phenology={"source": source})
    assert "Cloud Score+" not in without and "pasquarella2023cloudscore" not in fewer


def test_places_and_labels() -> None:
    grid = {"strata": "layers/Ecoregions2017.zip", "source": {"kind": "grid", "land": "global-land-mask"}}
    text, works = due(STAC, locations=grid)
    assert "RESOLVE Ecoregions 2017, licensed under CC BY 4.0" in text
    assert {"dinerstein2017ecoregion", "francis2024majortom", "karin2020landmask"} <= set(works)
    own = {"strata": "my/soils.gpkg", "source": {"kind": "points", "points": "plots.csv"}}
    text, works = due(STAC, locations=own, scenes={"cloud_model": "mine.clouds:model"})
    assert "soils.gpkg: cite the layer" in text and "mine.clouds:model" in text
    assert "francis2024majortom" not in works


def test_an_archive_of_ones_own_and_an_unknown_collection() -> None:
    text, _ = due({"kind": "mine.archive:Archive"})
    assert "mine.archive:Archive: add what its provider asks for" in text
    text, works = due({**STAC, "vegetation": "v.json", "vegetation_collection": "viirs-13a1"})
    assert "viirs-13a1: cite it as its provider asks" in text
    text, works = due({**EARTH_ENGINE, "vegetation": "MODIS/006/MOD13Q1"})
    assert "MOD13Q1 version 006" in text
    assert not any("didan" in key for key in works), "the works known are those of version 061"


@pytest.mark.parametrize("path", sorted((ROOT / "configs").glob("*.toml")), ids=lambda path: path.stem)
def test_every_configuration_that_is_shipped_can_be_cited(path: Path) -> None:
    text = re.sub(r'project = ".*"', 'project = "p"', path.read_text())
    config = configuration.parse(text, path, with_files=False)
    citation = citation_of("x", tomllib.loads(config.to_toml()), [2020])
    assert parsed(citation.bibtex())
    assert all(citation.attribution)
    assert ("Copernicus" in citation.attribution[0]) is not citation.simulated


@pytest.mark.parametrize(
    ("name", "products"),
    [
        ("modis-13Q1-061", (("MOD13Q1", "MYD13Q1"), "061")),
        ("modis-13A1-061", (("MOD13A1", "MYD13A1"), "061")),
        ("MODIS/061/MOD13Q1", (("MOD13Q1",), "061")),
        ("MODIS/061/MCD12Q2", (("MCD12Q2",), "061")),
        ("MYD13Q1.061", (("MYD13Q1",), "061")),
        ("something", ((), "")),
    ],
)
def test_products_by_the_name_of_a_collection(name: str, products: tuple[tuple[str, ...], str]) -> None:
    assert modis_products(name) == products


@given(st.lists(st.integers(2015, 2035), max_size=12))
def test_spans_name_every_year_once(years: list[int]) -> None:
    named = []
    for part in span(years).split(", ") if years else []:
        first, _, last = part.partition("-")
        named += range(int(first), int(last or first) + 1)
    assert named == sorted(set(years))


@pytest.mark.parametrize(
    ("years", "text"), [([], ""), ([2019], "2019"), ([2021, 2017, 2018], "2017-2018, 2021")]
)
def test_spans_in_words(years: list[int], text: str) -> None:
    assert span(years) == text
    assert (
        sources_of({}, years)[0].attribution
        == f"Contains modified Copernicus Sentinel data {text}".strip() + "."
    )


def test_references_check_themselves() -> None:
    with pytest.raises(ValueError, match=r"k\.title must be ASCII with balanced braces"):
        Reference(key="k", kind="misc", fields={"title": "{A"})
    with pytest.raises(ValueError, match=r"k\.author"):
        Reference(key="k", kind="misc", fields={"author": "Žluťoučký"})
    every = [value for value in vars(references).values() if isinstance(value, Reference)]
    assert len(every) >= 8
    for work in every:
        ((key, (kind, fields)),) = parsed(work.bibtex()).items()
        assert (key, kind, fields) == (work.key, work.kind, dict(work.fields))
        assert "{" not in work.text()


def test_the_command(built_config: Path) -> None:
    root = str(built_config.parent / "dataset")
    run = CliRunner()
    shown = run.invoke(app, ["cite", root])
    assert shown.exit_code == 0, shown.output
    assert shown.stdout.startswith("Show with every use of the data:\n  Simulated imagery")
    alone = run.invoke(app, ["cite", root, "--bibtex"])
    assert shown.stdout.endswith(alone.stdout)
    assert parsed(alone.stdout)
    document = json.loads(run.invoke(app, ["cite", root, "--json"]).stdout)
    assert document["bibtex"] == alone.stdout
    assert document["years"] == [2020, 2021, 2022]
    missing = run.invoke(app, ["cite", root + "-none"])
    assert missing.exit_code == 1


def test_terms_are_shown_where_there_are_any() -> None:
    citation = citation_of("A", {"archive": STAC}, [2020])
    lines = list(describe_citation(citation))
    assert "Terms:" in lines
    assert any("Copernicus Sentinel-2 Level-2A: https://" in line for line in lines)


def test_patches_alone_and_a_damaged_configuration(built_config: Path, tmp_path: Path) -> None:
    shutil.copytree(built_config.parent / "dataset" / "patches.zarr", tmp_path / "patches.zarr")
    assert cite_dataset(tmp_path / "patches.zarr").attribution == (
        "Contains modified Copernicus Sentinel data 2020-2022.",
    )
    (tmp_path / "config.toml").write_text("[dataset")
    with pytest.raises(StoreError, match=r"cannot read .*config\.toml"):
        cite_dataset(tmp_path)
