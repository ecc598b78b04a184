"""Embeddings of a dataset: what is in the file, that it is whole or absent, and goes on where it was."""

from __future__ import annotations

import json
import re
import struct
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from tests.store.small_dataset import build_small
from tests.training.globe_dataset import BANDS, LACKS, N_LOCATIONS, N_TRAIN, SEASONS, build_globe
from tests.training.globe_encoders import Means, means

from ssl4eco_data.store import ShardReader, read_small_arrays
from ssl4eco_training import embed
from ssl4eco_training.embed import Pace, embed_dataset, embed_to, open_source
from ssl4eco_training.embeddings import joined, read_embeddings, to_table
from ssl4eco_training.encoders import Judged, from_settings, judged
from ssl4eco_training.errors import TrainingError
from ssl4eco_training.identity import dataset_fingerprint

MEANS, NOISE = "tests.training.globe_encoders:means", "tests.training.globe_encoders:noise"


@pytest.fixture(scope="module")
def globe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("globe") / "dataset"
    build_globe(root)
    return root


@pytest.fixture
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embed, "PART_LOCATIONS", 8)


@pytest.mark.usefixtures("small_parts")
def test_the_file_is_geoparquet_with_a_row_per_location_and_season(globe: Path, tmp_path: Path) -> None:
    path = tmp_path / "out" / "embeddings.parquet"
    assert embed.main([str(globe), "--encoder", MEANS, "--to", str(path), "--batch", "13"]) == 0
    table = pq.read_table(path)
    assert table.column_names == ["location_id", "season", "model", "dataset", "vector", "geometry"]
    assert table.schema.field("vector").type == pa.list_(pa.float32(), len(BANDS))
    assert table.num_rows == N_LOCATIONS * len(SEASONS) - 1
    geo = json.loads(table.schema.metadata[b"geo"])
    assert geo["primary_column"] == "geometry" and geo["version"] == "1.1.0"
    assert geo["columns"]["geometry"] == {"encoding": "WKB", "geometry_types": ["Point"]}
    assert set(table["dataset"].to_pylist()) == {dataset_fingerprint(globe)}
    assert sorted(p.name for p in path.parent.iterdir()) == [path.name]
    frame = table.to_pandas()
    lon, lat = struct.unpack("<BIdd", frame["geometry"][0])[2:]
    assert (lon, lat) == place_of(globe, frame["location_id"][0])


def place_of(root: Path, name: str) -> tuple[float, float]:
    arrays = read_small_arrays(root, ("location_id", "lon", "lat"))
    row = arrays["location_id"].tolist().index(name)
    return float(arrays["lon"][row]), float(arrays["lat"][row])


def test_vectors_are_those_of_the_patches_they_name(globe: Path) -> None:
    encoder = judged(MEANS)
    got = embed_dataset(open_source(globe, encoder, None), encoder, Pace(batch=7)).ordered()
    reader = ShardReader(globe, bands=("B02", "B03", "B04", "B08"))
    for i in range(0, len(got.season), 41):
        row, season = int(got.location_id[i][1:]), SEASONS.index(got.season[i])
        pixels = reader.empty()
        assert reader.read_into(row, season, pixels)
        top = pixels["r10"][:, 8:24, 8:24].mean(axis=(1, 2)) / 10_000
        assert got.vectors[i][[0, 1, 2, 4]] == pytest.approx((top - 0.4) / 0.2, rel=1e-4, abs=1e-5)
    missing = (got.location_id == f"G{LACKS[0]:03d}") & (got.season == SEASONS[LACKS[1]])
    assert not missing.any()


def test_pace_does_not_change_the_result(globe: Path) -> None:
    encoder = judged(MEANS)
    source = open_source(globe, encoder, "validation")
    first, other = (
        embed_dataset(source, encoder, pace) for pace in (Pace(batch=64), Pace(batch=5, threads=3))
    )
    assert (first.location_id == other.location_id).all() and (first.season == other.season).all()
    assert other.vectors == pytest.approx(first.vectors, abs=1e-6)
    assert set(first.location_id) == {f"G{i:03d}" for i in range(N_TRAIN, N_LOCATIONS)}


@pytest.mark.usefixtures("small_parts")
def test_a_run_that_was_stopped_goes_on_where_it_was(globe: Path, tmp_path: Path) -> None:
    encoder = judged(MEANS)
    source = open_source(globe, encoder, None)
    whole, path = tmp_path / "whole.parquet", tmp_path / "stopped.parquet"
    assert embed_to(whole, source, encoder, Pace()) == 9

    calls = 0

    def stops(images: object) -> object:
        nonlocal calls
        calls += 1
        if calls > 3:
            raise KeyboardInterrupt
        return encoder.encoder(images)  # type: ignore[arg-type]

    with pytest.raises(KeyboardInterrupt):
        embed_to(path, source, replace(encoder, encoder=stops), Pace())  # type: ignore[arg-type]
    assert not path.exists() and len(list((tmp_path / "stopped.parquet.parts").iterdir())) == 3
    part = tmp_path / "stopped.parquet.parts" / "00001.parquet"
    part.write_bytes(part.read_bytes()[:100])
    assert embed_to(path, source, encoder, Pace()) == 9 - 3 + 1
    assert path.read_bytes() == whole.read_bytes()
    assert not (tmp_path / "stopped.parquet.parts").exists()


@pytest.mark.usefixtures("small_parts")
def test_parts_of_another_encoder_or_split_are_made_again(
    globe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, encoder, other = tmp_path / "e.parquet", judged(MEANS), judged(NOISE)
    source, part = open_source(globe, encoder, None), tmp_path / "e.parquet.parts" / "00000.parquet"
    for who, rows in ((other, slice(0, 8)), (encoder, slice(1, 9)), (encoder, slice(0, 8))):
        theirs = replace(open_source(globe, who, None), rows=np.arange(N_LOCATIONS)[rows])
        with monkeypatch.context() as patched:
            patched.setattr(embed, "join_files", lambda *_: None)
            patched.setattr(embed.shutil, "rmtree", lambda _: None)
            assert embed_to(path, theirs, who, Pace()) == 1
        assert part.exists()
        alike = (who.model, rows.start) == (encoder.model, 0)
        assert embed_to(path, source, encoder, Pace()) == (8 if alike else 9)
        assert read_embeddings(path).model == encoder.model


def scaled_means(**changes: Any) -> Judged:
    return from_settings("mine:encoder", {**means(), **changes})


def other_weights() -> dict[str, Any]:
    encoder = Means(len(BANDS))
    torch.nn.init.ones_(encoder.mix.bias)
    return {"encoder": encoder}


@pytest.mark.usefixtures("small_parts")
@pytest.mark.parametrize(
    "changes",
    [
        {"units": "DN"},
        {"normalisation": dict.fromkeys(BANDS, (0.4, 0.3))},
        {"normalisation": None},
        {"size_px": 15},
        {"bands": BANDS[::-1]},
        other_weights(),
        {"encoder": lambda images: images.mean(dim=(2, 3))},
    ],
)
def test_parts_of_other_settings_or_weights_are_made_again(
    globe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any]
) -> None:
    path, now = tmp_path / "e.parquet", scaled_means(**changes)
    with monkeypatch.context() as patched:
        patched.setattr(embed, "join_files", stop)
        for made_before in (scaled_means(), now):
            with pytest.raises(KeyboardInterrupt):
                embed_to(path, open_source(globe, made_before, None), made_before, Pace())
        assert len(list((tmp_path / "e.parquet.parts").iterdir())) == 9
    source = open_source(globe, now, None)
    assert embed_to(path, source, now, Pace()) == (0 if now.weights else 9)
    expected = embed_dataset(source, now, Pace())
    assert (read_embeddings(path).vectors == expected.vectors).all()


@pytest.mark.usefixtures("small_parts")
def test_a_plain_function_may_have_changed_so_its_parts_are_made_again(globe: Path, tmp_path: Path) -> None:
    path = tmp_path / "e.parquet"

    def times(factor: float) -> Judged:
        return scaled_means(encoder=lambda images: factor * images.mean(dim=(2, 3)))

    def stops(images: torch.Tensor) -> torch.Tensor:
        if (tmp_path / "e.parquet.parts" / "00002.parquet").exists():
            raise KeyboardInterrupt
        return images.mean(dim=(2, 3))

    with pytest.raises(KeyboardInterrupt):
        embed_to(path, open_source(globe, times(1), None), scaled_means(encoder=stops), Pace())
    embed_to(path, open_source(globe, times(2), None), times(2), Pace())
    expected = embed_dataset(open_source(globe, times(2), None), times(2), Pace())
    assert (read_embeddings(path).vectors == expected.vectors).all()


def stop(*_: object) -> None:
    raise KeyboardInterrupt


def test_a_fingerprint_is_the_dataset_s(globe: Path, tmp_path: Path) -> None:
    build_small(tmp_path)
    mine, other = dataset_fingerprint(globe), dataset_fingerprint(tmp_path)
    assert mine == dataset_fingerprint(globe / "patches.zarr") != other
    assert len(mine) == 64


def test_a_table_comes_back_as_it_was_written(globe: Path, tmp_path: Path) -> None:
    encoder = judged(MEANS)
    made = embed_dataset(open_source(globe, encoder, None), encoder, Pace())
    path = tmp_path / "e.parquet"
    pq.write_table(to_table(made), path)
    back = read_embeddings(path)
    assert (back.vectors == made.vectors).all() and (back.location_id == made.location_id).all()
    assert back.lon_deg == pytest.approx(made.lon_deg, abs=0) and back.model == made.model
    pooled = back.per_location()
    for row, seasons in ((0, 4), (LACKS[0], 3)):
        here = back.location_id == pooled.location_id[row]
        assert here.sum() == seasons
        assert pooled.vectors[row] == pytest.approx(back.vectors[here].mean(axis=0), rel=1e-5, abs=1e-6)
    assert len(pooled.season) == N_LOCATIONS and set(pooled.season) == {""}


@pytest.mark.parametrize(
    ("encoder", "split", "message"),
    [
        ("broken", "train", r"broken.* gives values that are no numbers for G000, season spring"),
        ("unpooled", "train", r"must give features \(N, D\) of \d+ images, got \(\d+, 6, 16, 16\): pool"),
        ("lacking", "train", r"does not fit .*lacking.*B12"),
        ("coarse", "train", "bands, units, normalisation, size_px must be given"),
        ("nothing", "train", "has no nothing"),
        ("means", "test", r"no location in the split 'test'; there are: train \(12\), val \(60\), or all"),
    ],
)
def test_mistakes_are_told_with_the_way_out(
    globe: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], encoder: str, split: str, message: str
) -> None:
    path = tmp_path / "e.parquet"
    named = f"tests.training.globe_encoders:{encoder}"
    assert embed.main([str(globe), "--encoder", named, "--to", str(path), "--split", split]) == 1
    said = capsys.readouterr().err
    assert re.search(message, said), said
    assert "Traceback" not in said and not path.exists()


def test_tables_that_are_no_embeddings_are_refused(tmp_path: Path, globe: Path) -> None:
    path = tmp_path / "e.parquet"
    with pytest.raises(TrainingError, match=r"there is no .*e.parquet: make it with"):
        read_embeddings(path)
    path.write_text("no table")
    with pytest.raises(TrainingError, match="cannot be read as Parquet"):
        read_embeddings(path)
    pq.write_table(pa.table({"location_id": ["a"]}), path)
    with pytest.raises(TrainingError, match="no column season, model, dataset, vector, geometry"):
        read_embeddings(path)
    encoder = judged(MEANS)
    made = embed_dataset(open_source(globe, encoder, "train"), encoder, Pace())
    nan = replace(made, vectors=np.where(np.arange(6) == 2, np.nan, made.vectors).astype(np.float32))
    pq.write_table(to_table(nan), path)
    with pytest.raises(TrainingError, match="48 vectors hold values that are no numbers"):
        read_embeddings(path)
    pq.write_table(to_table(made).slice(0, 0), path)
    with pytest.raises(TrainingError, match="has no rows: make it again"):
        read_embeddings(path)
    two = pa.concat_tables([to_table(made), to_table(replace(made, model="other"))])
    pq.write_table(two, path)
    with pytest.raises(TrainingError, match="embeddings of 2 models"):
        read_embeddings(path)
    with pytest.raises(ValueError, match="parts must be at least one"):
        joined([])
