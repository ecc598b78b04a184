"""The random encoder: batch norms that fit its own layers, the same for the same seed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tests.training.globe_dataset import BANDS, N_LOCATIONS, build_globe
from tests.training.globe_encoders import means
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from ssl4eco_training import baseline, evaluate
from ssl4eco_training.baseline import calibrate, random_embeddings
from ssl4eco_training.embed import Pace, Source, embed_dataset, open_source
from ssl4eco_training.encoders import Judged, from_settings, judged, random_twin
from ssl4eco_training.errors import TrainingError
from ssl4eco_training.inputs import InputSpec
from ssl4eco_training.norm import grouped
from ssl4eco_training.resnet import resnet
from ssl4eco_training.weights import save_encoder


@pytest.fixture(scope="module")
def globe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("globe") / "dataset"
    build_globe(root)
    return root


def encoder(norm: Callable[[int], nn.Module] | None = None) -> Judged:
    """A ResNet and a head with dropout, which must stay off."""
    made = nn.Sequential(resnet(18, len(BANDS), norm=norm), nn.Dropout(0.5), nn.Linear(512, 8))
    made.append(nn.BatchNorm1d(8))
    return from_settings("mine:encoder", {**means(), "encoder": made})


def statistics(one: Judged) -> dict[str, Tensor]:
    assert isinstance(one.encoder, nn.Module)
    return {name: value.clone() for name, value in one.encoder.named_buffers() if "running" in name}


def calibrated(source: Source, one: Judged, seed: int = 0, **pace: Any) -> Judged:
    twin = random_twin(one, 3)
    calibrate(source, twin, seed, Pace(**pace))
    return twin


@pytest.mark.parametrize("group", [None, 7])
def test_each_batch_norm_fits_what_it_is_given(globe: Path, group: int | None) -> None:
    twin = random_twin(encoder(None if group is None else grouped(group)), 3)
    source = open_source(globe, twin, None)
    seen: dict[_BatchNorm, list[Tensor]] = {}
    assert isinstance(twin.encoder, nn.Module)
    norms = [m for m in twin.encoder.modules() if isinstance(m, _BatchNorm)]
    calibrate(source, twin, 0, Pace())
    for norm in norms:
        seen[norm] = []
        norm.register_forward_pre_hook(lambda module, given: seen[module].append(given[0]))
    embed_dataset(source, twin, Pace())
    assert len(norms) == 21
    for norm in norms:
        given = torch.cat(seen[norm]).transpose(0, 1).flatten(1)
        assert norm.running_mean is not None and norm.running_var is not None and norm.momentum == 0.1
        off = (given.mean(dim=1) - norm.running_mean).abs() / norm.running_var.sqrt()
        ratio = (given.var(dim=1) / norm.running_var).log().abs()
        assert off.median() < 0.1 and ratio.median() < 0.25


def test_the_statistics_of_the_first_batch_norm_are_those_of_all_images(globe: Path) -> None:
    """48 images of the split: one batch."""
    twin = random_twin(encoder(), 3)
    source = open_source(globe, twin, "train")
    given: list[Tensor] = []
    body = twin.encoder[0]  # type: ignore[index]
    calibrate(source, twin, 0, Pace(batch=5))
    body.bn1.register_forward_pre_hook(lambda _, images: given.append(images[0]))
    embed_dataset(source, twin, Pace())
    images = torch.cat(given)
    assert len(images) == 48
    torch.testing.assert_close(body.bn1.running_mean, images.mean(dim=(0, 2, 3)), rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(body.bn1.running_var, images.var(dim=(0, 2, 3)), rtol=1e-3, atol=1e-4)


def test_groups_make_no_difference_to_the_statistics(globe: Path) -> None:
    """A group that parts no batch: 64 images and 32 would be refused in training."""
    plain = encoder()
    other = encoder(grouped(7))
    source = open_source(globe, plain, None)
    mine, theirs = (statistics(calibrated(source, one)) for one in (plain, other))
    for name in mine:
        torch.testing.assert_close(mine[name], theirs[name])


def test_a_seed_gives_the_same_statistics_and_another_one_another(
    globe: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(baseline, "IMAGES", 32)
    one = encoder()
    source = open_source(globe, one, None)
    state = torch.get_rng_state()
    first = statistics(calibrated(source, one))
    mixed = replace(source, rows=np.random.default_rng(0).permutation(N_LOCATIONS))
    for again in (calibrated(source, one, batch=3, threads=3), calibrated(mixed, one)):
        assert all(torch.equal(value, first[name]) for name, value in statistics(again).items())
    assert torch.equal(torch.get_rng_state(), state)
    other = statistics(calibrated(source, one, seed=1))
    assert not any(torch.equal(value, first[name]) for name, value in other.items())


def test_without_batch_norms_nothing_is_read(globe: Path) -> None:
    one = judged("tests.training.globe_encoders:means")
    source = replace(open_source(globe, one, None), root="nowhere")
    calibrate(source, one, 0, Pace())
    assert one.weights == judged("tests.training.globe_encoders:means").weights


def test_too_few_images_are_refused(globe: Path) -> None:
    one = encoder()
    source = replace(open_source(globe, one, None), rows=np.empty(0, np.int64))
    with pytest.raises(TrainingError, match=r"0 images of 0 locations are too few .* or --no-random"):
        calibrate(source, one, 0, Pace())


def test_evaluation_has_it_beside_the_encoder(globe: Path, tmp_path: Path) -> None:
    spec, path = InputSpec(bands=("B04", "B08"), image_px=32), tmp_path / "mine.safetensors"
    save_encoder(path, resnet(18, spec.channels), spec, arch="resnet18", dataset="d")
    options = evaluate.parser().parse_args([str(globe), "--encoder", str(path), "--split", "train"])
    _, beside = evaluate.tables_of(options, Pace()).values()
    own = judged(str(path))
    source = open_source(globe, own, "train")
    assert (beside.vectors == random_embeddings(source, own, 0, Pace()).vectors).all()
    plain = embed_dataset(source, random_twin(own, 0), Pace())
    assert np.abs(beside.vectors - plain.vectors).max() > 0.1
