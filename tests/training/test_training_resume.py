"""A run that is killed or stopped goes on to the very same weights."""

from __future__ import annotations

import multiprocessing
import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
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


def free_port() -> str:
    """A port that nobody listens at."""
    with socket.socket() as free:
        free.bind(("localhost", 0))
        return str(free.getsockname()[1])


RANK = """
import sys
from ssl4eco_training.options import overridden, recipe_named
from ssl4eco_training.run import train
train(overridden(recipe_named("debug_cpu"), sys.argv[1:]), grace_s=1.0)
"""
"""One process of a run, of little patience."""


@contextmanager
def ranks(made: Recipe, count: int) -> Iterator[list[subprocess.Popen[str]]]:
    """The first ``count`` of a run's two processes."""
    with ExitStack() as stack:
        meet = {"MASTER_ADDR": "localhost", "MASTER_PORT": free_port(), "WORLD_SIZE": "2"}
        command = [sys.executable, "-c", RANK, *options(made)]
        yield [stack.enter_context(begun(command, environment(**meet, RANK=str(i)))) for i in range(count)]


def test_a_process_whose_other_stands_still_ends_at_a_signal(small: Recipe, tmp_path: Path) -> None:
    made = replace(small, folder=str(tmp_path / "run"), steps=100_000, save_every=1)
    with ranks(made, 2) as (first, second):
        until(lambda: step_of(made.folder) >= 3 or first.poll() is not None, "step 3")
        first.send_signal(signal.SIGSTOP)
        second.send_signal(signal.SIGUSR1)
        _, errors = second.communicate(timeout=PATIENCE_S)
    assert second.returncode == 75
    assert f"signal {signal.SIGUSR1:d}: no step has ended since" in errors
    assert checkpoint.newest(tmp_path / "run" / "checkpoints") is not None


def test_a_process_that_waits_for_the_others_to_begin_ends_at_a_signal(small: Recipe, tmp_path: Path) -> None:
    made = replace(small, folder=str(tmp_path / "run"))
    with ranks(made, 1) as (first,):
        until(lambda: handles(first.pid, signal.SIGTERM) or first.poll() is not None, "the handler")
        first.send_signal(signal.SIGTERM)
        _, errors = first.communicate(timeout=PATIENCE_S)
    assert first.returncode == 0, errors
    assert "signal 15: no step has ended since" in errors


def handles(pid: int, number: int) -> bool:
    """Whether a process has a handler of its own for a signal."""
    (caught,) = (
        line.split()[1] for line in Path(f"/proc/{pid}/status").read_text().splitlines() if "SigCgt" in line
    )
    return bool(int(caught, 16) >> (number - 1) & 1)


def children_of(pid: int) -> list[int]:
    """Processes that a process started, in that order."""
    tasks = Path(f"/proc/{pid}/task").glob("*/children")
    found = sorted(int(child) for task in tasks for child in task.read_text().split())
    return [child for child in found if b"ssl4eco_training" in Path(f"/proc/{child}/cmdline").read_bytes()]


SRUN = """#!/usr/bin/env bash
shift
for task in 0 1; do
    SLURM_PROCID=$task SLURM_LOCALID=$task SLURM_NTASKS=2 "$@" &
    tasks+=($!)
done
trap 'kill -USR1 "${tasks[@]}"' USR1
code=0
for task in "${tasks[@]}"; do
    wait "$task"
    status=$?
    while kill -0 "$task" 2>/dev/null; do wait "$task"; status=$?; done
    [ "$status" -eq 0 ] || code=$status
done
exit "$code"
"""
"""Slurm's srun for two tasks on this machine; passes its signal on."""
SCONTROL = """#!/bin/sh
case $1 in show) echo localhost;; *) echo "$@" >> "$CALLS";; esac
"""


def slurm(folder: Path) -> dict[str, str]:
    """The environment of a job, whose commands of Slurm are stubs; requeueing writes into ``calls``."""
    for name, text in (("srun", SRUN), ("scontrol", SCONTROL)):
        (folder / name).write_text(text)
        (folder / name).chmod(0o755)
    return environment(
        PATH=f"{folder}{os.pathsep}{os.environ['PATH']}",
        CALLS=str(folder / "calls"),
        SLURM_JOB_ID="4711",
        SLURM_JOB_NODELIST="localhost",
        PYTHON=sys.executable,
        MASTER_PORT=free_port(),
    )


def test_the_sbatch_template_requeues_into_the_same_run(small: Recipe, tmp_path: Path) -> None:
    """Two tasks train together, before and after; the second job ends what the first began."""
    made = replace(small, folder=str(tmp_path / "run"), save_every=1000)
    job_environment, calls = slurm(tmp_path), tmp_path / "calls"
    command = ["bash", str(SBATCH), "debug_cpu", *options(made)]
    with begun(command, job_environment) as job:
        until(lambda: step_of(made.folder) >= 3 or job.poll() is not None, "step 3")
        job.send_signal(signal.SIGUSR1)
        _, errors = job.communicate(timeout=PATIENCE_S)
    assert job.returncode == 0, errors
    assert calls.read_text() == "requeue 4711\n"
    stopped = checkpoint.newest(tmp_path / "run" / "checkpoints")
    assert stopped is not None
    assert checkpoint.load(stopped)["processes"] == 2
    assert not (tmp_path / "run" / WEIGHTS).exists()
    again = subprocess.run(
        command, env=job_environment, capture_output=True, text=True, timeout=PATIENCE_S, check=False
    )
    assert again.returncode == 0, again.stderr
    assert f"going on from {stopped}" in again.stderr
    assert calls.read_text() == "requeue 4711\n"
    assert (tmp_path / "run" / WEIGHTS).exists()
    last = checkpoint.load(checkpoint.path_of(stopped.parent, small.steps))
    assert last["processes"] == 2
    steps = [line["step"] for line in read_log(tmp_path / "run") if line["event"] == "step"]
    assert steps == list(range(1, small.steps + 1))


def test_the_sbatch_template_passes_an_error_on(tmp_path: Path) -> None:
    command = ["bash", str(SBATCH), "no_such_recipe"]
    done = subprocess.run(
        command, env=slurm(tmp_path), capture_output=True, text=True, timeout=PATIENCE_S, check=False
    )
    assert done.returncode == 2
    assert "no recipe 'no_such_recipe'" in done.stderr
    assert not (tmp_path / "calls").exists()
