"""The loop: what it learns, what it writes, what it refuses."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.training.run_dataset import ENCODER, Encoder, build_run_dataset, weights_hash
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from ssl4eco_training import build, checkpoint
from ssl4eco_training.build import encoder_maker
from ssl4eco_training.distributed import Processes
from ssl4eco_training.errors import RecipeError, TrainingError
from ssl4eco_training.journal import read_log
from ssl4eco_training.recipes import Recipe, debug_cpu
from ssl4eco_training.resnet import ResNet
from ssl4eco_training.run import train, train_step
from ssl4eco_training.views import ViewPlan
from ssl4eco_training.weights import load_encoder

MakeRecipe = Callable[..., Recipe]


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_run_dataset(tmp_path_factory.mktemp("run") / "dataset")


@pytest.fixture
def recipe(dataset: Path, tmp_path: Path) -> MakeRecipe:
    def make(**changes: object) -> Recipe:
        small = {
            "dataset": str(dataset),
            "folder": str(tmp_path / "run"),
            "encoder": ENCODER,
            "image_px": 24,
            "batch": 8,
            "queue": 64,
            "bn_group": 2,
            "steps": 6,
            "dim": 16,
            "log_every": 2,
            "save_every": 3,
            "tensorboard": False,
        }
        return replace(debug_cpu(), **(small | changes))  # type: ignore[arg-type]

    return make


def trained(recipe: Recipe) -> Path:
    """The weights of a run that goes to its end."""
    outcome = train(recipe)
    assert outcome.step == outcome.steps
    assert outcome.weights is not None
    return outcome.weights


def final(recipe: Recipe) -> dict[str, torch.Tensor]:
    path = checkpoint.newest(Path(recipe.folder) / "checkpoints")
    assert path is not None
    return {n: v for n, v in checkpoint.load(path)["objective"].items() if isinstance(v, torch.Tensor)}


ALONE = Processes(rank=0, count=1, device=torch.device("cpu"))


def parts_of(made: Recipe) -> build.Parts:
    """What a new run begins with."""
    found = build.source(made)
    return build.parts(made, found, ALONE, build.input_of(made, found))


def test_a_run_logs_saves_and_exports(recipe: MakeRecipe) -> None:
    outcome = train(recipe(encoder="resnet18", image_px=32, tensorboard=True))
    assert (outcome.step, outcome.steps, outcome.signal) == (6, 6, 0)
    folder = Path(recipe().folder)
    steps = [line for line in read_log(folder) if line["event"] == "step"]
    assert [line["step"] for line in steps] == [2, 4, 6]
    assert {"loss", "accuracy_0", "embedding_std", "locations_s", "stall_share", "read_gb_s"} <= steps[
        0
    ].keys()
    assert outcome.last["loss"] == steps[-1]["loss"]
    assert [p.name for p in sorted((folder / "checkpoints").iterdir())] == [
        "step-000000003.pt",
        "step-000000006.pt",
    ]
    assert outcome.weights is not None
    encoder, spec = load_encoder(outcome.weights)
    assert spec.scaling == "standardised"
    assert encoder.eval()(torch.zeros(1, 9, 32, 32)).shape == (1, 512)
    assert list((folder / "tensorboard").iterdir())


@pytest.mark.parametrize(
    ("objective", "mode", "learning_rate"),
    [("seco", "corrected", 0.05), ("seco", "parity", 0.005), ("moco", "corrected", 0.05)],
)
def test_the_loss_falls_and_accuracies_rise(
    recipe: MakeRecipe, objective: str, mode: str, learning_rate: float
) -> None:
    """The inputs of parity mode are not standardised but several times as large."""
    changes = {"objective": objective, "mode": mode, "schedule": "constant", "warmup_epochs": 0.0}
    made = recipe(**changes, steps=80, save_every=100, learning_rate=learning_rate, log_every=1)
    train(made)
    lines = [line for line in read_log(Path(made.folder)) if line["event"] == "step"]
    late, early = lines[-20:], [line for line in lines if line["queue_filled"] >= 1][:20]
    assert sum(line["loss"] for line in late) < sum(line["loss"] for line in early)
    assert sum(line["accuracy_0"] for line in late) > sum(line["accuracy_0"] for line in early)


def test_the_same_recipe_gives_the_same_bits_whatever_the_threads(recipe: MakeRecipe, tmp_path: Path) -> None:
    one, other = recipe(folder=str(tmp_path / "a")), recipe(folder=str(tmp_path / "b"), threads=3, ahead=1)
    third = recipe(folder=str(tmp_path / "c"), seed=1)
    hashes = [weights_hash(trained(each)) for each in (one, other, third)]
    assert hashes[0] == hashes[1] != hashes[2]


@pytest.mark.parametrize("objective", ["seco", "tests.training.run_dataset:Drawing"])
def test_a_run_in_two_pieces_is_the_run_in_one(recipe: MakeRecipe, tmp_path: Path, objective: str) -> None:
    """With constant learning rate, as the number of steps is part of a cosine."""
    whole = recipe(folder=str(tmp_path / "whole"), objective=objective, schedule="constant", mode="parity")
    pieces = replace(whole, folder=str(tmp_path / "pieces"))
    train(whole)
    train(replace(pieces, steps=4))
    outcome = train(pieces)
    assert outcome.step == 6
    one, other = final(whole), final(pieces)
    assert one.keys() == other.keys()
    assert all(torch.equal(one[name], other[name]) for name in one)
    said = [line["text"] for line in read_log(Path(pieces.folder)) if line["event"] == "resumed"]
    assert said[0].endswith("at step 4")
    assert "steps was 4, is now 6" in said


def test_a_finished_run_is_left_alone(recipe: MakeRecipe) -> None:
    before = weights_hash(trained(recipe()))
    assert weights_hash(trained(recipe())) == before


def test_micro_batches_give_the_gradient_of_their_mean(recipe: MakeRecipe, tmp_path: Path) -> None:
    """For an objective without negatives it is the whole batch's."""
    own = "tests.training.run_dataset:Alike"
    whole = recipe(folder=str(tmp_path / "a"), objective=own, steps=3)
    train(whole)
    parts = replace(whole, folder=str(tmp_path / "b"), accumulate=4)
    train(parts)
    one, other = final(whole), final(parts)
    assert all(torch.allclose(one[name], other[name], atol=1e-6) for name in one)


@pytest.mark.parametrize(
    ("encoder", "accumulate"), [(ENCODER, 4), ("tests.training.run_dataset:EncoderInGroups", 2)]
)
def test_micro_batches_of_moco_give_the_gradient_of_the_batch(
    recipe: MakeRecipe, encoder: str, accumulate: int
) -> None:
    """All have the queue of before the step, and batch norm has the same groups of two."""
    gradients, keys = [], []
    for count in (1, accumulate):
        made = recipe(objective="moco", encoder=encoder, batch=16, accumulate=count)
        parts = parts_of(made)
        with build.loader_of(made, ALONE, parts.spec, parts.objective, 0) as batches:
            for _ in range(2):
                train_step(made, parts, batches, 0.0, ALONE.device)
        gradients.append({n: p.grad for n, p in parts.objective.named_parameters() if p.grad is not None})
        keys.append(parts.objective.queue.keys_SKD)
        assert parts.objective.queue.written == 2 * made.batch
    torch.testing.assert_close(*gradients, atol=1e-5, rtol=0)
    torch.testing.assert_close(*keys, atol=1e-5, rtol=0)


def test_a_checkpoint_has_the_keys_of_all_micro_batches(recipe: MakeRecipe) -> None:
    made = recipe(accumulate=4, steps=3)
    train(made)
    assert final(made)["queue._extra_state"] == 3 * made.batch


class Fetches(TorchDispatchMode):
    """Counts the values that are fetched from the device."""

    count = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.count += func is torch.ops.aten._local_scalar_dense.default
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("objective", ["seco", "moco"])
def test_a_step_asks_nothing_of_the_device(recipe: MakeRecipe, objective: str) -> None:
    made = recipe(objective=objective, accumulate=2)
    parts = parts_of(made)
    with build.loader_of(made, ALONE, parts.spec, parts.objective, 0) as batches, Fetches() as fetches:
        train_step(made, parts, batches, 0.1, ALONE.device)
        assert fetches.count == 0
        float(torch.ones(()) + 1)
        assert fetches.count == 1


def test_statistics_of_the_input_are_those_of_the_checkpoint(recipe: MakeRecipe) -> None:
    """Not those of the dataset, which other libraries may sum in another order."""
    made = recipe()
    train(replace(made, steps=3))
    path = checkpoint.newest(Path(made.folder) / "checkpoints")
    assert path is not None
    state = checkpoint.load(path)
    state["input"]["mean"] = tuple(mean + 1e-9 for mean in state["input"]["mean"])
    checkpoint.save(path, state)
    weights = trained(made)
    last = checkpoint.newest(path.parent)
    assert last is not None and last != path
    assert (
        checkpoint.load(last)["input"] == state["input"] == load_encoder(weights, make=Encoder)[1].as_dict()
    )


@pytest.mark.parametrize(
    "changes", [{"precision": "bf16"}, {"channels_last": True}, {"accumulate": 2}, {"weighted": True}]
)
def test_variants_run(recipe: MakeRecipe, changes: dict[str, object]) -> None:
    outcome = train(recipe(steps=2, **changes))
    assert outcome.last["loss"] > 0


def test_a_loss_that_is_no_number_leaves_no_checkpoint(recipe: MakeRecipe) -> None:
    with pytest.raises(TrainingError, match="the loss is nan"):
        train(recipe(objective="tests.training.run_dataset:Broken", log_every=100))
    assert checkpoint.newest(Path(recipe().folder) / "checkpoints") is None


def refused(made: Recipe) -> str:
    with pytest.raises(TrainingError) as caught:
        train(made)
    return str(caught.value)


def test_no_dataset_there(recipe: MakeRecipe, tmp_path: Path) -> None:
    message = refused(recipe(dataset=str(tmp_path / "nothing")))
    assert "nothing" in message
    assert "--dataset" in message


def test_too_few_seasons(recipe: MakeRecipe, tmp_path: Path) -> None:
    two = build_run_dataset(tmp_path / "two", 12, seasons=("wet", "dry"))
    message = refused(recipe(dataset=str(two)))
    assert "contrasts 3 seasons" in message
    assert "2 (wet, dry)" in message
    assert "moco" in message
    assert train(recipe(dataset=str(two), objective="moco", steps=1)).step == 1


def test_bands_the_store_lacks(recipe: MakeRecipe, tmp_path: Path) -> None:
    few = build_run_dataset(tmp_path / "few", 12, bands=("B02", "B04", "B08"))
    message = refused(recipe(dataset=str(few)))
    assert "no band B03, B05" in message and "at 10 or 20 m" in message
    assert "there are: B02,B04,B08" in message
    assert train(recipe(dataset=str(few), bands=("B04", "B08"), steps=1)).step == 1


def test_bands_that_come_twice_or_have_60_m_pixels(recipe: MakeRecipe, tmp_path: Path) -> None:
    coarse = build_run_dataset(tmp_path / "coarse", 12, bands=("B01", "B04", "B08"))
    message = refused(recipe(dataset=str(coarse), bands=("B01", "B04", "B08")))
    assert "no band B01 at 10 or 20 m; there are: B04,B08" in message
    with pytest.raises(RecipeError, match="bands must be different, got 'B02,B02'"):
        recipe(bands=("B02", "B02"), ndvi=False)


def test_weights_that_are_no_numbers_are_not_saved(recipe: MakeRecipe) -> None:
    made = recipe(save_every=1, steps=4)
    train(replace(made, steps=2))
    with pytest.raises(TrainingError, match=r"step 3.*goes on from step-000000002\.pt; remove that"):
        train(replace(made, warmup_epochs=0, learning_rate=1e38, weight_decay=1e30))
    assert checkpoint.newest(Path(made.folder) / "checkpoints") == checkpoint.path_of(
        Path(made.folder) / "checkpoints", 2
    )


def test_another_seed_begins_with_other_keys(recipe: MakeRecipe) -> None:
    one, other = (parts_of(made).objective.queue.keys_SKD for made in (recipe(seed=0), recipe(seed=1)))
    assert not torch.equal(one, other)


def test_a_batch_larger_than_the_split(recipe: MakeRecipe) -> None:
    message = refused(recipe(batch=32))
    assert "batch = 32" in message
    assert "22 locations" in message
    assert "--batch 22" in message


def test_a_split_that_is_not_there(recipe: MakeRecipe) -> None:
    assert "there are: train, validation" in refused(recipe(split="trian"))


def test_a_batch_that_does_not_part_into_groups(recipe: MakeRecipe) -> None:
    message = refused(recipe(encoder="resnet18", bn_group=8))
    assert "bn_group = 8" in message
    assert "multiple of 32" in message


def test_a_checkpoint_of_another_dataset(recipe: MakeRecipe, tmp_path: Path) -> None:
    train(recipe(steps=1))
    other = build_run_dataset(tmp_path / "other", seed=1)
    message = refused(recipe(dataset=str(other)))
    assert "was trained on the dataset" in message
    assert "--folder" in message


def test_a_checkpoint_of_as_many_other_locations(recipe: MakeRecipe, tmp_path: Path) -> None:
    train(recipe(steps=1))
    moved = build_run_dataset(tmp_path / "moved", validation=(0, 1))
    message = refused(recipe(dataset=str(moved)))
    assert "was trained on other locations" in message
    assert "than the split 'train'" in message
    assert "--folder" in message


def test_a_checkpoint_of_another_objective(recipe: MakeRecipe) -> None:
    train(recipe(steps=1))
    message = refused(recipe(objective="moco"))
    assert "objective = seco, the recipe moco" in message


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_cuda_that_is_not_there(recipe: MakeRecipe) -> None:
    assert "--device cpu" in refused(recipe(device="cuda"))


def test_memory_that_does_not_suffice(recipe: MakeRecipe) -> None:
    message = refused(recipe(objective="tests.training.run_dataset:Greedy", accumulate=2))
    assert "4 locations at once" in message
    assert "--accumulate 4" in message
    assert "--batch 4" in message


@pytest.mark.parametrize("field", ["objective", "encoder"])
def test_names_that_are_nothing(recipe: MakeRecipe, field: str) -> None:
    assert f"{field} must be" in refused(recipe(**{field: "nothing"}))
    assert "no Nothing" in refused(recipe(**{field: "tests.training.run_dataset:Nothing"}))


def test_the_log_begins_with_the_recipe(recipe: MakeRecipe) -> None:
    train(recipe(steps=1))
    first = read_log(Path(recipe().folder))[0]
    assert first["event"] == "start"
    assert first["recipe"] == json.loads(json.dumps(recipe(steps=1).as_dict()))


def test_a_run_that_has_more_steps_than_are_asked_for_ends_with_its_weights(recipe: MakeRecipe) -> None:
    trained(recipe())
    outcome = train(recipe(steps=3))
    assert (outcome.step, outcome.steps) == (6, 3)
    assert outcome.weights is not None


class Forgetful(nn.Module):
    """An objective that lacks a method."""

    images, views = 1, (ViewPlan(image=0, augment=False),)

    def __init__(self, make_encoder: Callable[[], nn.Module]) -> None:
        super().__init__()
        self.encoder = make_encoder()

    def before_step(self) -> None: ...


def test_an_objective_that_lacks_a_method_is_refused(recipe: MakeRecipe) -> None:
    with pytest.raises(RecipeError, match="Forgetful lacks after_step"):
        train(recipe(objective=f"{__name__}:Forgetful"))


@pytest.mark.parametrize(
    ("channels_last", "precision", "pads"),
    [(True, "bf16", True), (True, "fp32", False), (False, "bf16", False)],
)
def test_the_first_convolution_is_padded_where_it_helps(
    recipe: MakeRecipe, channels_last: bool, precision: str, pads: bool
) -> None:
    made = encoder_maker(recipe(encoder="resnet18", channels_last=channels_last, precision=precision), 9)()
    assert isinstance(made, ResNet)
    assert made.conv1.pad_channels is pads
