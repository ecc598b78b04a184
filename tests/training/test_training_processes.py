"""The loss, its gradients and the queues do not depend on the number of processes."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from ssl4eco_training.gather import average_running_statistics, gather
from ssl4eco_training.norm import GroupedBatchNorm2d
from ssl4eco_training.objectives.contrastive import Contrastive
from ssl4eco_training.objectives.moco import MoCo
from ssl4eco_training.objectives.seco import SeCo

PROCESSES, SAMPLES, STEPS = 4, 256, 3
KINDS = ("seco, groups of 64", "seco corrected, groups of 16", "moco, groups of 64")


class Small(nn.Sequential):
    """An encoder of two convolutions with batch norm in groups."""

    features = 12

    def __init__(self, group: int) -> None:
        super().__init__(
            nn.Conv2d(9, 8, 3, 2),
            GroupedBatchNorm2d(8, group),
            nn.ReLU(),
            nn.Conv2d(8, 12, 3, 2),
            GroupedBatchNorm2d(12, group),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
        )


def objective_of(kind: str) -> Contrastive:
    """Its queue is no multiple of the batch, so that it is written around its end."""
    torch.manual_seed(0)
    common = {"dim": 8, "queue": 600, "momentum": 0.9}
    if kind == KINDS[0]:
        return SeCo(lambda: Small(64), **common)
    if kind == KINDS[1]:
        return SeCo(lambda: Small(16), mode="corrected", **common)
    return MoCo(lambda: Small(64), **common)


def trained(kind: str, rank: int, processes: int) -> dict[str, Tensor]:
    """Some steps on this process's share of the same samples: losses, gradients, and all state."""
    objective, mine = objective_of(kind), SAMPLES // processes
    module = DistributedDataParallel(objective, broadcast_buffers=False) if processes > 1 else objective
    optimiser = torch.optim.SGD([p for p in objective.parameters() if p.requires_grad], lr=0.1)
    random, losses = torch.Generator().manual_seed(1), []
    for _ in range(STEPS):
        views = torch.randn(len(objective.views), SAMPLES, 9, 12, 12, generator=random)
        objective.before_step()
        optimiser.zero_grad()
        loss = module(list(views[:, rank * mine : (rank + 1) * mine])).total
        loss.backward()
        losses.append(loss.detach())
        optimiser.step()
        objective.after_step()
    average_running_statistics(objective)
    average_running_statistics(objective)
    gradients = {f"grad {n}": p.grad for n, p in objective.named_parameters() if p.grad is not None}
    mean_losses = gather(torch.stack(losses)[None], dim=0).mean(dim=0)
    return {"losses": mean_losses, **gradients, **objective.state_dict()}


def work(rank: int, folder: Path) -> None:
    """One of four processes."""
    torch.set_num_threads(1)
    dist.init_process_group("gloo", f"file://{folder}/meet", rank=rank, world_size=PROCESSES)
    try:
        torch.save({kind: trained(kind, rank, PROCESSES) for kind in KINDS}, folder / f"{rank}.pt")
    finally:
        dist.destroy_process_group()


@pytest.fixture(scope="module")
def four(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, dict[str, Tensor]]]:
    """What each of four processes ended with."""
    folder = tmp_path_factory.mktemp("four")
    mp.spawn(work, (folder,), nprocs=PROCESSES)
    return [torch.load(folder / f"{rank}.pt") for rank in range(PROCESSES)]


@pytest.mark.parametrize("kind", KINDS)
def test_four_processes_of_64_are_one_of_256(four: list[dict[str, dict[str, Tensor]]], kind: str) -> None:
    alone = trained(kind, 0, 1)
    assert alone["queue._extra_state"] == SAMPLES * STEPS > 600
    for process in four:
        assert set(process[kind]) == set(alone)
        for name, wanted in alone.items():
            torch.testing.assert_close(
                process[kind][name], wanted, atol=1e-5, rtol=0, msg=lambda m, n=name: f"{n}: {m}"
            )


def test_one_process_gathers_its_own_without_gradient() -> None:
    mine = torch.ones(2, 3, requires_grad=True)
    assert torch.equal(gather(mine, dim=1), mine)
    assert not gather(mine, dim=1).requires_grad
