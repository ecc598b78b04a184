"""A run that is killed or stopped goes on to the very same weights."""

from __future__ import annotations

import multiprocessing
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from tests.training.run_dataset import ENCODER, build_run_dataset, weights_hash

from ssl4eco_training import checkpoint
from ssl4eco_training.journal import read_log
from ssl4eco_training.options import shown
from ssl4eco_training.recipes import Recipe, debug_cpu
from ssl4eco_training.run import WEIGHTS, train

ROOT = Path(__file__).resolve().parents[2]
SBATCH = ROOT / "training" / "slurm" / "pretrain.sbatch"
PATIENCE_S = 300
CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(["ssl4eco_training.run", "tests.training.run_dataset"])


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Recipe:
    """Three checkpoints of nine steps each."""
    return replace(
        debug_cpu(),
        dataset=str(build_run_dataset(tmp_path_factory.mktemp("resume") / "dataset")),
        encoder=ENCODER,
        image_px=24,
        batch=8,
        queue=64,
        dim=16,
        steps=27,
        log_every=1,
        save_every=3,
        tensorboard=False,
    )


def until(true: Callable[[], bool], what: str) -> None:
    end = time.monotonic() + PATIENCE_S
    while not true():
        if time.monotonic() > end:
            raise TimeoutError(f"{what} did not come in {PATIENCE_S} s")
        time.sleep(0.002)


def step_of(run: str) -> int:
    """The last step in a run's log."""
    with suppress(FileNotFoundError):
        return max((line["step"] for line in read_log(Path(run)) if line["event"] == "step"), default=0)
    return 0


def started(recipe: Recipe) -> multiprocessing.Process:
    child = CONTEXT.Process(target=train, args=(recipe,))
    child.start()
    return child  # type: ignore[return-value]


@pytest.fixture(scope="module")
def undisturbed(small: Recipe, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The hash of the weights of a run that nothing happened to."""
    made = replace(small, folder=str(tmp_path_factory.mktemp("undisturbed")))
    child = started(made)
    child.join(PATIENCE_S)
    assert child.exitcode == 0
    return weights_hash(Path(made.folder) / WEIGHTS)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_run_killed_at_any_step_ends_with_the_same_bits(
    small: Recipe, tmp_path: Path, undisturbed: str, seed: int
) -> None:
    made, draws, killed = replace(small, folder=str(tmp_path / "run")), random.Random(seed), 0
    for wanted in sorted(draws.sample(range(1, small.steps - 1), 3)):
        child = started(made)
        until(lambda: step_of(made.folder) >= wanted or not child.is_alive(), f"step {wanted}")  # noqa: B023
        time.sleep(draws.random() * 0.02)
        child.kill()
        child.join()
        killed += child.exitcode == -signal.SIGKILL
    assert killed == 3
    child = started(made)
    child.join(PATIENCE_S)
    assert child.exitcode == 0
    assert weights_hash(tmp_path / "run" / WEIGHTS) == undisturbed
    steps = [line["step"] for line in read_log(tmp_path / "run") if line["event"] == "step"]
    assert steps == list(range(1, small.steps + 1))


def test_the_hash_would_see_a_lost_queue(small: Recipe, tmp_path: Path, undisturbed: str) -> None:
    """The same resume with the queue's keys of another moment ends elsewhere."""
    made = replace(small, folder=str(tmp_path / "run"))
    train(replace(made, steps=9, epochs=1, schedule="cosine"))
    path = checkpoint.newest(tmp_path / "run" / "checkpoints")
    assert path is not None
    state = checkpoint.load(path)
    state["objective"]["queue.keys_SKD"].neg_()
    checkpoint.save(path, state)
    train(made)
    assert weights_hash(tmp_path / "run" / WEIGHTS) != undisturbed


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1])
def test_a_signal_saves_at_the_end_of_the_step(
    small: Recipe, tmp_path: Path, undisturbed: str, number: signal.Signals
) -> None:
    made = replace(small, folder=str(tmp_path / "run"), save_every=1000)
    child = started(made)
    until(lambda: step_of(made.folder) >= 5, "step 5")
    assert child.pid is not None
    os.kill(child.pid, number)
    child.join(PATIENCE_S)
    assert child.exitcode == 0
    path = checkpoint.newest(tmp_path / "run" / "checkpoints")
    assert path is not None
    last = read_log(tmp_path / "run")[-1]
    assert (last["event"], path) == ("stopped", checkpoint.path_of(path.parent, last["step"]))
    assert not (tmp_path / "run" / WEIGHTS).exists()
    outcome = train(made)
    assert outcome.step == small.steps
    assert weights_hash(tmp_path / "run" / WEIGHTS) == undisturbed


def options(recipe: Recipe) -> list[str]:
    pairs = [line.split(maxsplit=1) for line in shown(recipe).splitlines()]
    return [part for pair in pairs for part in pair]


def environment(**more: str) -> dict[str, str]:
    path = f"{ROOT}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"
    return {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1", **more}


@contextmanager
def begun(command: list[str], env: dict[str, str]) -> Iterator[subprocess.Popen[str]]:
    """A process of its own, which does not outlive the test."""
    with subprocess.Popen(command, env=env, stderr=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def test_two_processes_stop_together_and_one_goes_on(small: Recipe, tmp_path: Path, undisturbed: str) -> None:
    """A signal to one of them is enough; the weights are those of one process but for rounding."""
    made = replace(small, folder=str(tmp_path / "run"), save_every=1000)
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "--standalone"]
    command += ["-m", "ssl4eco_training", "debug_cpu", *options(made)]
    with begun(command, environment()) as torchrun:
        until(lambda: step_of(made.folder) >= 4 or torchrun.poll() is not None, "step 4")
        ranks = children_of(torchrun.pid)
        assert len(ranks) == 2, torchrun.communicate()[1]
        os.kill(ranks[1], signal.SIGTERM)
        _, errors = torchrun.communicate(timeout=PATIENCE_S)
    assert torchrun.returncode == 0, errors
    last = read_log(tmp_path / "run")[-1]
    assert last["event"] == "stopped"
    assert 4 < last["step"] < small.steps
    train(made)
    said = [line["text"] for line in read_log(tmp_path / "run") if line["event"] == "resumed"]
    assert "2 processes before, 1 now: the same samples in the same batches of 8" in said[-1]
    alone = replace(small, folder=str(tmp_path / "alone"))
    train(alone)
    one, other = (
        checkpoint.load(checkpoint.path_of(tmp_path / name / "checkpoints", small.steps))["objective"]
        for name in ("run", "alone")
    )
    tensors = [name for name, value in one.items() if isinstance(value, torch.Tensor)]
    assert all(torch.allclose(one[name], other[name], atol=1e-4) for name in tensors)


def children_of(pid: int) -> list[int]:
    """Processes that a process started, in that order."""
    tasks = Path(f"/proc/{pid}/task").glob("*/children")
    found = sorted(int(child) for task in tasks for child in task.read_text().split())
    return [child for child in found if b"ssl4eco_training" in Path(f"/proc/{child}/cmdline").read_bytes()]


STUBS = {
    "srun": 'shift\nSLURM_PROCID=0 SLURM_LOCALID=0 SLURM_NTASKS=1 exec "$@"',
    "scontrol": 'case $1 in show) echo localhost;; *) echo "$@" >> "$CALLS";; esac',
}
"""Commands of Slurm, for one task on this machine."""


def test_the_sbatch_template_requeues_into_the_same_run(
    small: Recipe, tmp_path: Path, undisturbed: str
) -> None:
    made = replace(small, folder=str(tmp_path / "run"), save_every=1000)
    for name, text in STUBS.items():
        (tmp_path / name).write_text(f"#!/bin/sh\n{text}\n")
        (tmp_path / name).chmod(0o755)
    calls = tmp_path / "calls"
    slurm = environment(
        PATH=f"{tmp_path}{os.pathsep}{os.environ['PATH']}",
        CALLS=str(calls),
        SLURM_JOB_ID="4711",
        SLURM_JOB_NODELIST="localhost",
        PYTHON=sys.executable,
    )
    command = ["bash", str(SBATCH), "debug_cpu", *options(made)]
    with begun(command, slurm) as job:
        until(lambda: step_of(made.folder) >= 3 or job.poll() is not None, "step 3")
        job.send_signal(signal.SIGUSR1)
        _, errors = job.communicate(timeout=PATIENCE_S)
    assert job.returncode == 0, errors
    assert calls.read_text() == "requeue 4711\n"
    assert not (tmp_path / "run" / WEIGHTS).exists()
    again = subprocess.run(
        command, env=slurm, capture_output=True, text=True, timeout=PATIENCE_S, check=False
    )
    assert again.returncode == 0, again.stderr
    assert "going on from" in again.stderr
    assert calls.read_text() == "requeue 4711\n"
    assert weights_hash(tmp_path / "run" / WEIGHTS) == undisturbed


def test_the_sbatch_template_passes_an_error_on(tmp_path: Path) -> None:
    for name, text in STUBS.items():
        (tmp_path / name).write_text(f"#!/bin/sh\n{text}\n")
        (tmp_path / name).chmod(0o755)
    slurm = environment(
        PATH=f"{tmp_path}{os.pathsep}{os.environ['PATH']}",
        CALLS=str(tmp_path / "calls"),
        SLURM_JOB_ID="4711",
        SLURM_JOB_NODELIST="localhost",
        PYTHON=sys.executable,
    )
    command = ["bash", str(SBATCH), "no_such_recipe"]
    done = subprocess.run(command, env=slurm, capture_output=True, text=True, timeout=PATIENCE_S, check=False)
    assert done.returncode == 2
    assert "no recipe 'no_such_recipe'" in done.stderr
    assert not (tmp_path / "calls").exists()
