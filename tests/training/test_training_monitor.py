"""Alarms come when they should and only then; the log survives kills."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp

from ssl4eco_training import alarms
from ssl4eco_training.errors import TrainingError
from ssl4eco_training.journal import Journal, read_log
from ssl4eco_training.monitor import Monitor, Plan, means
from ssl4eco_training.protocols import Loss
from ssl4eco_training.recipes import Recipe, debug_cpu, seco_eco

GOOD = {"embedding_std": 0.9 / math.sqrt(128), "accuracy_0": 0.5}
"""Of unit vectors of 128 dimensions that nearly fill the sphere."""


def test_a_healthy_step_raises_no_alarm() -> None:
    assert alarms.at_step(seco_eco(), 10_000, 100_000, GOOD) == {}
    assert alarms.at_start(seco_eco()) == []


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"embedding_std": 0.021}, "collapse: embedding_std = 0.021 is below 0.022 (0.25 / sqrt(dim = 128))"),
        ({"accuracy_0": 0.0}, "accuracy_0 = 0 is at chance"),
        ({"accuracy_0": 1.0}, "short cut"),
    ],
)
def test_a_sick_step_raises_one(change: dict[str, float], words: str) -> None:
    found = alarms.at_step(seco_eco(), 10_000, 100_000, GOOD | change)
    assert found.keys() == change.keys()
    assert words in "".join(found.values())


@pytest.mark.parametrize(
    ("step", "steps", "count"), [(10, 100_000, 0), (500, 100_000, 2), (20, 50, 2), (19, 50, 0)]
)
def test_values_are_not_judged_early(step: int, steps: int, count: int) -> None:
    assert len(alarms.at_step(seco_eco(), step, steps, {"accuracy_0": 0.0, "embedding_std": 0.01})) == count


def test_chance_counts_the_keys_of_the_batch() -> None:
    """Short queues: 16 keys and 2 x 16 of the batch."""
    few = replace(seco_eco(), queue=16, batch=16)
    assert [len(alarms.at_step(few, 10_000, 100_000, {"accuracy_1": v})) for v in (0.05, 1 / 49)] == [0, 1]


def test_the_collapse_alarm_knows_the_dimensions_of_the_sphere() -> None:
    """Random unit vectors raise none, in few and in many dimensions; vectors that are nearly one do."""
    for dim in (4, 128, 2048):
        vectors = torch.randn(512, dim, generator=torch.Generator().manual_seed(0))
        alike = vectors / 10 + math.sqrt(dim)
        recipe = replace(seco_eco(), dim=dim)
        for rows, count in ((vectors, 0), (alike, 1)):
            spread = float(torch.nn.functional.normalize(rows, dim=1).std(dim=0).mean())
            assert len(alarms.at_step(recipe, 10_000, 100_000, {"embedding_std": spread})) == count


def test_keys_older_than_the_twins_memory_raise_an_alarm() -> None:
    (alarm,) = alarms.at_start(replace(seco_eco(), batch=32))
    assert "2048 steps" in alarm


def test_the_log_forgets_what_a_resumed_run_does_again(tmp_path: Path) -> None:
    journal = Journal(tmp_path, step=0, tensorboard=False)
    for step in range(1, 7):
        journal.write("step", step, {"loss": step / 2})
    journal.close()
    with (tmp_path / "log.jsonl").open("a") as file:
        file.write('{"event": "step", "st')
    journal = Journal(tmp_path, step=2, tensorboard=False)
    journal.write("step", 3, {"loss": 9.0})
    journal.close()
    assert [(line["step"], line["loss"]) for line in read_log(tmp_path)] == [(1, 0.5), (2, 1.0), (3, 9.0)]


class Fed:
    stall_s, read_bytes = 0.0, 0


def small(folder: Path) -> Recipe:
    return replace(debug_cpu(), batch=16, queue=16, folder=str(folder), log_every=2, tensorboard=True)


def test_lines_come_every_few_steps_with_rates_and_alarms(tmp_path: Path) -> None:
    recipe, fed = small(tmp_path), Fed()
    with Monitor(
        recipe, Plan(begin=0, steps=6, epoch_locations=64, limit_s=100.0), fed, first=True
    ) as monitor:
        for step in range(1, 7):
            fed.read_bytes += 1000
            spread = torch.tensor(0.025 if step < 3 else 0.001)
            monitor.after(step, [Loss(torch.tensor(1.5), {"embedding_std": spread})], 0.25)
    lines = read_log(tmp_path)
    assert [(line["event"], line["step"]) for line in lines] == [
        ("start", 0), ("step", 2), ("step", 4), ("alarm", 4), ("step", 6),
    ]  # fmt: skip
    first = lines[1]
    assert (first["loss"], first["learning_rate"], first["epoch"]) == (1.5, 0.25, 0.5)
    assert math.isclose(first["roofline_share"], first["locations_s"] / 100)
    assert first["read_gb_s"] > 0
    assert first["stall_share"] == 0
    assert list((tmp_path / "tensorboard").glob("events*"))


def test_other_processes_write_nothing(tmp_path: Path) -> None:
    plan = Plan(begin=0, steps=2, epoch_locations=64, limit_s=None)
    with Monitor(small(tmp_path / "run"), plan, Fed(), first=False) as monitor:
        monitor.after(2, [Loss(torch.tensor(1.5))], 0.25)
        monitor.alarm(2, "x")
    assert not (tmp_path / "run").exists()


def test_a_loss_that_is_no_number_ends_the_run(tmp_path: Path) -> None:
    plan = Plan(begin=0, steps=2, epoch_locations=64, limit_s=None)
    with (
        pytest.raises(TrainingError, match=r"loss is nan at step 2.*--learning_rate"),
        Monitor(small(tmp_path), plan, Fed(), first=True) as monitor,
    ):
        monitor.after(2, [Loss(torch.tensor(math.nan))], 0.25)


def test_a_line_has_the_means_over_the_micro_batches() -> None:
    parts = [
        Loss(torch.tensor(1.0), {"accuracy_0": torch.tensor(1), "embedding_std": torch.tensor(0.5)}),
        Loss(torch.tensor(2.0), {"embedding_std": torch.tensor(0.25), "accuracy_0": torch.tensor(0)}),
    ]
    assert means(parts) == {"loss": 1.5, "accuracy_0": 0.5, "embedding_std": 0.375}


def one_of_two(rank: int, folder: Path) -> None:
    """A process whose share of the batch has values of its own."""
    dist.init_process_group("gloo", f"file://{folder}/meet", rank=rank, world_size=2)
    try:
        plan = Plan(begin=0, steps=2, epoch_locations=64, limit_s=None)
        with Monitor(small(folder / "run"), plan, Fed(), first=rank == 0) as monitor:
            for step in (1, 2):
                spread = torch.tensor(0.0 if rank else 0.5)
                monitor.after(step, [Loss(torch.tensor(1.0 + rank), {"embedding_std": spread})], 0.25)
        (folder / str(rank)).write_text(str(monitor.last))
    finally:
        dist.destroy_process_group()


def test_a_line_has_the_means_over_the_processes(tmp_path: Path) -> None:
    mp.spawn(one_of_two, (tmp_path,), nprocs=2)
    (line,) = (line for line in read_log(tmp_path / "run") if line["event"] == "step")
    assert (line["loss"], line["embedding_std"]) == (1.5, 0.25)
    assert (tmp_path / "0").read_text() == (tmp_path / "1").read_text()
