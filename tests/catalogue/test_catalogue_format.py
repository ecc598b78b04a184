"""docs/format.md against a built dataset, and what readers see of labels, newer formats and codecs."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st
from tests.conftest import ROOT
from tests.store.small_dataset import build_small

from ssl4eco_data import open_dataset
from ssl4eco_data.errors import StoreError
from ssl4eco_data.store.descriptions import described, flags
from ssl4eco_data.store.supported import codec_names, refuse_unreadable

PAGE = (ROOT / "docs" / "format.md").read_text(encoding="utf-8")
FORM = {"text": "text", "labels": "labels", "units": "time"}


def rows_of(page: str, title: str) -> list[dict[str, str]]:
    """The table below a comment of this title, its cells by heading, without backticks."""
    (block,) = re.findall(rf"<!-- {title} -->\n((?:\|.*\n)+)", page)
    head, _, *rows = [
        [c.strip().strip("`") for c in line.strip("|").split("|")] for line in block.splitlines()
    ]
    return [dict(zip(head, row, strict=True)) for row in rows]


def documents(root: Path) -> dict[str, dict[str, Any]]:
    return {
        p.parent.name: json.loads(p.read_bytes())
        for p in (root / "patches.zarr/sentinel2").glob("*/zarr.json")
    }


def lengths(words: str, shape: list[int], per_shard: int) -> list[int]:
    known = {"S": per_shard}
    return [
        n if word == "all" else known[word] if word in known else int(word)
        for word, n in zip(words.split(", "), shape, strict=True)
    ]


def form_of(document: dict[str, Any]) -> str:
    attributes = document["attributes"]
    if "since" in attributes.get("units", ""):
        return "time"
    return next((name for name in ("text", "labels") if name in attributes), "number")


def wrong_patches(page: str, root: Path, per_shard: int) -> list[str]:
    """What the page says of the arrays of patches and is not so."""
    wrong = []
    there = documents(root)
    for row in rows_of(page, "arrays of patches"):
        document = there[row["array"]]
        (sharding,) = document["codecs"]
        inside = sharding["configuration"]
        shape = document["shape"]
        seen = {
            "dimensions": ", ".join(document["dimension_names"]),
            "dtype": document["data_type"],
            "fill": str(document["fill_value"]),
            "codecs": ", ".join(codec["name"] for codec in inside["codecs"]),
            "chunk": inside["chunk_shape"],
            "shard": document["chunk_grid"]["configuration"]["chunk_shape"],
        }
        said = {name: row[name] for name in seen} | {
            name: lengths(row[name], shape, per_shard) for name in ("chunk", "shard")
        }
        wrong += [f"{row['array']}.{name}" for name in seen if said[name] != seen[name]]
        if (sharding["name"], inside["index_location"]) != ("sharding_indexed", "end"):
            wrong.append(f"{row['array']}.sharding")
        if [c["name"] for c in inside["index_codecs"]] != ["bytes", "crc32c"]:
            wrong.append(f"{row['array']}.index")
    return wrong


def wrong_small(page: str, root: Path) -> list[str]:
    """What the page says of the small arrays and is not so."""
    wrong = []
    there = documents(root)
    for row in rows_of(page, "small arrays"):
        document = there[row["array"]]
        units = "" if form_of(document) == "time" else document["attributes"].get("units", "")
        seen = {
            "dimensions": ", ".join(document["dimension_names"]),
            "dtype": document["data_type"],
            "form": form_of(document),
            "units": units,
        }
        wrong += [f"{row['array']}.{name}: {seen[name]}" for name in seen if row[name] != seen[name]]
        if document["chunk_grid"]["configuration"]["chunk_shape"] != document["shape"]:
            wrong.append(f"{row['array']}: not one chunk")
        if [codec["name"] for codec in document["codecs"]] != ["bytes", "blosc", "crc32c"]:
            wrong.append(f"{row['array']}.codecs")
    return wrong


@pytest.fixture(scope="module")
def dataset(built_config: Path) -> Path:
    return built_config.parent / "dataset"


def test_the_page_says_what_the_arrays_are(dataset: Path) -> None:
    assert wrong_patches(PAGE, dataset, per_shard=2) == []
    assert wrong_small(PAGE, dataset) == []


def test_every_array_of_patches_is_on_the_page(dataset: Path) -> None:
    sharded = {name for name, d in documents(dataset).items() if d["codecs"][0]["name"] == "sharding_indexed"}
    assert sharded == {row["array"] for row in rows_of(PAGE, "arrays of patches")}


@pytest.mark.parametrize(
    ("right", "false"),
    [
        ("| uint8 | 1, 1, all, all |", "| uint16 | 1, 1, all, all |"),
        ("| S, all, all, all | bytes", "| all, all, all, all | bytes"),
        ("bytes, blosc, crc32c | 0 |", "bytes, blosc | 0 |"),
        ("`lat` | location | float64", "`lat` | location | float32"),
        ("| degrees_north |", "| degrees |"),
        ("`reason` | location, season | int16 | labels", "`reason` | location, season | int16 | number"),
    ],
)
def test_a_false_page_is_noticed(right: str, false: str, dataset: Path) -> None:
    assert right in PAGE
    page = PAGE.replace(right, false)
    assert wrong_patches(page, dataset, per_shard=2) + wrong_small(page, dataset)


def test_the_page_names_the_files_and_the_attributes(dataset: Path) -> None:
    group = json.loads((dataset / "patches.zarr/sentinel2/zarr.json").read_bytes())
    for name in set(group["attributes"]) - {"coordinates"}:
        assert f"`{name}`" in PAGE, name
    files = {p.name for p in dataset.iterdir() if p.is_file()}
    named = {"locations.parquet", "items.parquet", "collection.json", "README.md", "config.toml"}
    assert named <= files
    assert all(f"| `{name}` |" in PAGE for name in named)
    assert f"Format version: **{group['attributes']['ssl4eco_format_version']}**" in PAGE


def test_plain_xarray_finds_every_coordinate_labelled(dataset: Path) -> None:
    plain = xr.open_zarr(dataset / "patches.zarr", group="sentinel2")
    assert set(plain.data_vars) == {"r10", "r20", "r60", "scl"}
    decoded = open_dataset(dataset)
    for name, variable in plain.coords.items():
        attributes = variable.attrs
        assert attributes.get("long_name"), name
        if "labels" in attributes:
            assert attributes["flag_values"] == list(range(len(attributes["labels"])))
            words = attributes["flag_meanings"].split(" ")
            assert len(words) == len(set(words)) == len(attributes["labels"])
            text = np.array([*attributes["labels"], ""], dtype=object)[variable.to_numpy()]
            assert text.tolist() == decoded[name].to_numpy().tolist()
            assert not {"labels", "flag_values", "flag_meanings"} & set(decoded[name].attrs)
    assert plain["season"].attrs["flag_meanings"] == "spring summer autumn winter"
    assert plain["band_10m"].attrs["flag_meanings"] == "B02 B03 B04 B08"


def test_a_newer_format_and_an_unknown_codec_are_refused_with_the_way_out(tmp_path: Path) -> None:
    build_small(tmp_path / "small")
    for what, new, message in (
        ('"ssl4eco_format_version": 1', '"ssl4eco_format_version": 2', r"format version 2.*up to 1: update"),
        ('"name": "blosc"', '"name": "superzip"', r"codec 'superzip'.*update ssl4eco-data"),
        ('"ssl4eco_format_version": 1,', "", "not finished: run the build again"),
    ):
        shutil.copytree(tmp_path / "small", tmp_path / "changed")
        for document in (tmp_path / "changed" / "patches.zarr").rglob("zarr.json"):
            text = document.read_text()
            document.write_text(text.replace(what, new).replace(what.removesuffix(","), new))
        with pytest.raises(StoreError, match=message):
            open_dataset(tmp_path / "changed")
        shutil.rmtree(tmp_path / "changed")


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["name", "configuration", "codecs"]), inner)
    ),
    max_leaves=8,
)


@given(json_values)
def test_codecs_of_any_shape_are_gone_through(codecs: Any) -> None:
    assert all(isinstance(name, str) for name in codec_names(codecs))


@given(st.dictionaries(st.sampled_from(["attributes", "consolidated_metadata", "metadata"]), json_values))
def test_group_metadata_of_any_shape_is_refused_as_ours(document: dict[str, Any]) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "zarr.json").write_text(json.dumps(document))
        with pytest.raises(StoreError):
            refuse_unreadable(Path(folder))


@given(st.lists(st.text(max_size=6), unique=True, max_size=12))
def test_flag_meanings_are_one_word_per_label(labels: list[str]) -> None:
    found = flags(labels)
    words = str(found["flag_meanings"]).split(" ") if labels else []
    assert len(words) == len(labels) == len(set(words))
    assert all(re.fullmatch(r"[A-Za-z0-9_.+@-]+", word) for word in words)


def test_words_are_what_a_person_expects() -> None:
    assert (
        flags(["", "São Tomé forests", "A & B", "A, B", "-"])["flag_meanings"]
        == "none Sao_Tome_forests A_B A_B_2 -"
    )
    assert described("greenup")["long_name"].startswith("greenup, day of the typical year")
    assert described("spring_end_day") == {
        "units": "d",
        "long_name": "last day of spring, day of the typical year, from 1 January of the peak's year",
    }
    assert described("my_column") == {"long_name": "my column"}
