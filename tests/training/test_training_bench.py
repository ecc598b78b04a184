"""The benchmark: what binds by made-up figures, and that it runs on a small dataset."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.training.run_dataset import ENCODER, build_run_dataset

from ssl4eco_training import bench
from ssl4eco_training import bench_reading as reading
from ssl4eco_training.bench_figures import (
    Conditions,
    Figures,
    Limits,
    Rate,
    Turn,
    best,
    lines,
    stall_share,
    what_binds,
)
from ssl4eco_training.errors import TrainingError
from ssl4eco_training.inputs import InputSpec
from ssl4eco_training.loader import SeasonLoader
from ssl4eco_training.locations import read_locations
from ssl4eco_training.options import overridden, recipe_named
from ssl4eco_training.recipes import Recipe

LIMITS = Limits(storage=1000.0, decoding=800.0, loader=700.0, transfer=5000.0, step=900.0)
FIELDS = ["--image_px", "16", "--batch", "4", "--queue", "8", "--bn_group", "2", "--encoder", ENCODER]
RATES = st.floats(1e-3, 1e9)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_run_dataset(tmp_path_factory.mktemp("bench") / "dataset")


@pytest.mark.parametrize(
    ("changed", "part"),
    [
        ({}, "decoding"),
        ({"storage": 750.0}, "storage"),
        ({"transfer": 600.0}, "transfer"),
        ({"transfer": None}, "decoding"),
        ({"step": 699.0}, "step"),
        ({"step": 700.0}, "step"),
        ({"step": 599.0, "transfer": 600.0}, "step"),
        ({"loader": 2000.0}, "step"),
        ({"loader": 2000.0, "transfer": None, "storage": 1.0}, "step"),
    ],
)
def test_the_slowest_part_binds(changed: dict[str, Any], part: str) -> None:
    assert what_binds(replace(LIMITS, **changed)) == part


@given(st.builds(Limits, storage=RATES, decoding=RATES, loader=RATES, transfer=RATES | st.none(), step=RATES))
def test_nothing_is_slower_than_what_binds(limits: Limits) -> None:
    rates = {"step": limits.step, "transfer": limits.transfer, "storage": limits.loader}
    rates["decoding"] = limits.loader
    slowest = min(limits.step, limits.loader, limits.transfer or math.inf)
    assert rates[what_binds(limits)] == slowest


def test_best_turn_and_waiting() -> None:
    turns = [
        Turn(items=10, seconds=2.0, cpu_seconds=1.0, stall_seconds=0.5),
        Turn(items=10, seconds=1.0, cpu_seconds=4.0),
    ]
    assert best(turns) == Rate(by_clock=10.0, by_cpu=10.0)
    assert stall_share(turns) == pytest.approx(0.5 / 3)
    assert math.isfinite(best([Turn(items=1, seconds=0.0, cpu_seconds=0.0)]).by_cpu)


def made_up(device: str = "NVIDIA H200", limit_s: float | None = 5000.0) -> Figures:
    """A step of 2500 locations/s, of three patches of 0.44 MB each."""
    reading = {"decode": 1500.0, "memmap": 20_000.0, "memcpy": 21_000.0, "reader": 1350.0, "loader": 9000.0}
    training = {"transfer": 20_000.0, "views": 8000.0, "step": 2500.0, "both": 2400.0}
    return Figures(
        conditions=Conditions(
            recipe="seco_eco",
            device=device,
            threads=8,
            cores=16,
            images=3,
            batch=256,
            packed_bytes=0.44e6,
            pixel_bytes=0.72e6,
            cold=True,
            limit_s=limit_s,
        ),
        patches_s={name: Rate(by_clock=rate, by_cpu=rate / 2) for name, rate in reading.items()},
        locations_s={name: Rate(by_clock=rate, by_cpu=rate) for name, rate in training.items()},
        storage_bytes_s=5e9,
        stall_share=0.01,
    )


def test_figures_are_in_locations_and_in_bytes() -> None:
    figures = made_up()
    told, limits = figures.as_dict(), figures.limits()
    assert limits.loader == 3000 and limits.decoding == 1350 * 8 / 3 and limits.transfer == 20_000
    assert limits.storage == pytest.approx(5e9 / 1.32e6)
    assert told["storage_wanted_gb_s"] == pytest.approx(3.3)
    assert told["roofline_share"] == pytest.approx(2400 / 5000) and told["binds"] == "step"
    assert told["both_share_of_slower"] == pytest.approx(0.96)
    assert told["share_of_decode"]["reader"] == pytest.approx(0.9)


def test_the_last_line_names_what_binds() -> None:
    text = lines(made_up())
    assert text[-1].startswith("step binds at 2400 locations/s: it takes 2500")
    assert any("48.0% of 5000 locations/s" in line for line in text)
    assert any("gives 5 GB/s" in line and "asks for 3.3 GB/s" in line for line in text)
    assert any("unknown" in line for line in lines(made_up("cpu", None)))


def numbers(told: Any) -> Iterator[float]:
    """All numbers of a JSON value."""
    if isinstance(told, dict):
        for value in told.values():
            yield from numbers(value)
    elif isinstance(told, int | float) and not isinstance(told, bool):
        yield told


def test_it_runs_and_its_ratios_are_finite(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    limits = ["--peak-tflops", "0.1", "--memory-gb-s", "10"]
    assert bench.main([str(root), "--seconds", "0.2", "--json", *limits, *FIELDS]) == 0
    told = json.loads(capsys.readouterr().out)
    found = list(numbers(told))
    assert len(found) > 30 and all(math.isfinite(number) and number >= 0 for number in found)
    assert told["patches_s"].keys() == {"decode", "memmap", "memcpy", "reader", "loader"}
    assert told["locations_s"].keys() == {"views", "step", "both"}
    assert told["binds"] in ("storage", "decoding", "step")
    assert told["roofline_share"] > 0 and 0 <= told["stall_share"] <= 1
    # eight bands of 32 px at 10 m: four in r10, four of them in r20
    assert told["conditions"]["pixel_bytes"] == 2 * (4 * 32**2 + 4 * 16**2)
    assert told["conditions"]["images"] == 3


def test_a_person_reads_lines(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert bench.main([str(root), "--seconds", "0.1", *FIELDS]) == 0
    text = capsys.readouterr().out.splitlines()
    assert " binds at " in text[-1] and "roofline: unknown" in text[-2]


def test_what_is_measured_reads_the_same_pixels(root: Path, tmp_path: Path) -> None:
    """The bytes that are unpacked, mapped and read are those that the loader delivers."""

    known = read_locations(str(root), "train")
    places = reading.some_places(known)
    assert len(set(places)) == len(places) == known.present.sum()
    patches = reading.Patches(str(root), recipe().bands, places)
    out = patches.reader.empty()
    maps = reading.mapped(patches, tmp_path)
    for i in (0, len(places) - 1):
        patches.reader.read_into(*places[i], out)
        for name, values in out.items():
            assert (maps[name][i] == values).all() and (patches.pixels[name][i] == values).all()
    turn = reading.storage(patches, 2)(0.0)
    assert turn.items == sum(chunk.size for chunk in patches.packed) == patches.packed_bytes * len(places)


def test_the_loader_is_measured_in_patches(root: Path) -> None:

    def opened(start: int) -> SeasonLoader:
        starts.append(start)
        return SeasonLoader(str(root), batch=4, images=3, views=0, spec=InputSpec(image_px=16), start=start)

    starts: list[int] = []
    way = reading.loader(opened, 4, 3, 1)
    assert way(0.0).items == way(0.0).items == 12
    assert starts == [0, 4]


def recipe() -> Recipe:
    return overridden(recipe_named("debug_cpu"), FIELDS)


@pytest.mark.parametrize(
    ("options", "way_out"),
    [
        (["--recipe", "secoeco"], "did you mean seco_eco"),
        (["--bathc", "4"], "did you mean --batch"),
        (["--peak-tflops", "1"], "both be given"),
        (["--batch", "512", "--queue", "512"], "--batch 22"),
    ],
)
def test_mistakes_end_with_the_way_out(
    root: Path, capsys: pytest.CaptureFixture[str], options: list[str], way_out: str
) -> None:
    assert bench.main([str(root), *options]) == 2
    assert way_out in capsys.readouterr().err


def test_no_dataset_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert bench.main([str(tmp_path / "none")]) == 2
    assert "none" in capsys.readouterr().err


def test_numbers_must_be_above_0(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        bench.main([str(root), "--seconds", "0"])
    assert "above 0" in capsys.readouterr().err


def test_help_and_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    assert bench.main(["--help"]) == 0 and bench.main([]) == 2
    assert "--peak-tflops" in capsys.readouterr().out


def test_several_processes_are_refused(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(TrainingError, match="one process"):
        bench.measure("debug_cpu", recipe(), 0.1)
