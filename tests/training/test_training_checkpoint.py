"""Checkpoints are whole or absent, refuse what does not fit with both values, and the right ones stay."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from ssl4eco_training import checkpoint
from ssl4eco_training.checkpoint import Kept
from ssl4eco_training.errors import CheckpointError
from ssl4eco_training.recipes import debug_cpu


def state(**changes: Any) -> dict[str, Any]:
    return {
        "dataset": "abc",
        "recipe": debug_cpu().as_dict(),
        "locations": "train-24",
        "weights": {"w": torch.arange(1000.0)},
        **changes,
    }


def test_what_is_saved_comes_back(tmp_path: Path) -> None:
    path = checkpoint.path_of(tmp_path / "new" / "folder", 7)
    checkpoint.save(path, state())
    back = checkpoint.load(path)
    assert torch.equal(back["weights"]["w"], torch.arange(1000.0))
    assert back["recipe"] == debug_cpu().as_dict()
    assert [p.name for p in path.parent.iterdir()] == ["step-000000007.pt"]


@pytest.mark.parametrize("part", [0.1, 0.5, 0.9])
def test_a_flipped_byte_is_seen(tmp_path: Path, part: float) -> None:
    path = checkpoint.path_of(tmp_path, 2)
    checkpoint.save(checkpoint.path_of(tmp_path, 1), state())
    checkpoint.save(path, {**state(), "weights": {"w": torch.rand(100_000)}})
    damaged = bytearray(path.read_bytes())
    damaged[int(part * len(damaged))] ^= 1
    path.write_bytes(damaged)
    with pytest.raises(CheckpointError, match=r"damaged.*remove it to go on from step-000000001\.pt"):
        checkpoint.load(path)


def test_a_cut_one_a_foreign_one_and_an_absent_one_are_refused(tmp_path: Path) -> None:
    path = checkpoint.path_of(tmp_path, 1)
    checkpoint.save(path, state())
    path.write_bytes(path.read_bytes()[:-50])
    with pytest.raises(CheckpointError, match="remove it to begin anew"):
        checkpoint.load(path)
    torch.save({"weights": 1}, path)
    with pytest.raises(CheckpointError, match="no checkpoint of a run"):
        checkpoint.load(path)
    with pytest.raises(CheckpointError, match="there is no checkpoint"):
        checkpoint.load(checkpoint.path_of(tmp_path, 2))


def test_another_format_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = checkpoint.path_of(tmp_path, 1)
    torch.save({"format": 99}, path)
    with pytest.raises(CheckpointError, match="has format 99, this version reads 2"):
        checkpoint.load(path)


def test_the_newest_and_every_nth_stay(tmp_path: Path) -> None:
    assert checkpoint.newest(tmp_path) is None
    for step in range(10, 80, 10):
        checkpoint.save(checkpoint.path_of(tmp_path, step), {})
    (tmp_path / "step-000000090.pt.partial").write_bytes(b"cut off")
    checkpoint.prune(tmp_path, Kept(newest=2, every=30))
    assert sorted(int(p.stem.split("-")[1]) for p in tmp_path.iterdir()) == [30, 60, 70]
    assert checkpoint.newest(tmp_path) == checkpoint.path_of(tmp_path, 70)


@pytest.mark.parametrize(
    ("name", "value"), [("objective", "moco"), ("queue", 512), ("batch", 8), ("seed", 3)]
)
def test_what_must_not_change_is_refused_with_both_values(tmp_path: Path, name: str, value: Any) -> None:
    now = debug_cpu().as_dict() | {name: value}
    with pytest.raises(CheckpointError) as caught:
        checkpoint.refuse_other(tmp_path / "x", state(), now, "abc", "train-24")
    message = str(caught.value)
    assert f"{name} = {debug_cpu().as_dict()[name]}" in message
    assert str(value) in message
    assert "--folder" in message


def test_another_dataset_is_refused_with_both_fingerprints(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=f"dataset abc, {debug_cpu().dataset} is other"):
        checkpoint.refuse_other(tmp_path / "x", state(), debug_cpu().as_dict(), "other", "train-24")


def test_other_locations_are_refused_with_both_fingerprints(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError) as caught:
        checkpoint.refuse_other(tmp_path / "x", state(), debug_cpu().as_dict(), "abc", "other-24")
    message = str(caught.value)
    assert (
        f"other locations (fingerprint train-24) than the split 'train' of {debug_cpu().dataset} has now "
        "(other-24)" in message
    )
    assert "--folder" in message


def test_rates_are_the_recipes_and_momenta_the_checkpoints(tmp_path: Path) -> None:
    saved, now = torch.nn.Linear(2, 1), torch.nn.Linear(2, 1)
    before = torch.optim.SGD(saved.parameters(), lr=0.1, momentum=0.9, weight_decay=0.1)
    saved(torch.ones(1, 2)).sum().backward()
    before.step()
    after = torch.optim.SGD(now.parameters(), lr=0.2, momentum=0.5, weight_decay=0.0)
    kept = {"objective": saved.state_dict(), "optimiser": before.state_dict(), "scaler": {}}
    checkpoint.fill(tmp_path / "x", kept, now, after, torch.amp.GradScaler(enabled=False))
    (group,) = after.param_groups
    assert (group["lr"], group["momentum"], group["weight_decay"]) == (0.2, 0.5, 0.0)
    momentum = after.state[now.weight]["momentum_buffer"]
    assert torch.equal(momentum, before.state[saved.weight]["momentum_buffer"])


def test_a_pickle_of_something_else_is_no_checkpoint(tmp_path: Path) -> None:
    path = checkpoint.path_of(tmp_path, 1)
    torch.save({"format": 1, "weights": Path("x")}, path)
    with pytest.raises(CheckpointError, match="damaged or no checkpoint"):
        checkpoint.load(path)


def test_what_may_change_is_said(tmp_path: Path) -> None:
    now = debug_cpu().as_dict() | {"epochs": 80.0, "log_every": 1}
    said = checkpoint.refuse_other(tmp_path / "x", state(), now, "abc", "train-24")
    was = debug_cpu()
    assert sorted(said) == [
        f"epochs was {was.epochs}, is now 80.0",
        f"log_every was {was.log_every}, is now 1",
    ]


def test_another_shape_is_refused_with_both(tmp_path: Path) -> None:
    one, other = torch.nn.Linear(3, 4), torch.nn.Linear(3, 5)
    optimiser, scaler = torch.optim.SGD(other.parameters(), lr=0.1), torch.amp.GradScaler(enabled=False)
    with pytest.raises(CheckpointError, match=r"weight is \(4, 3\) there, here \(5, 3\)"):
        checkpoint.fill(tmp_path / "x", {"objective": one.state_dict()}, other, optimiser, scaler)
    with pytest.raises(CheckpointError, match="only the objective has bias"):
        checkpoint.fill(tmp_path / "x", {"objective": {"weight": one.weight}}, other, optimiser, scaler)
