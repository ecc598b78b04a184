"""Any encoder can be judged, and each of its settings is read."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.training.globe_encoders import Means, means
from torch import nn

from ssl4eco_training.encoders import from_settings, judged, random_twin
from ssl4eco_training.errors import TrainingError
from ssl4eco_training.inputs import InputSpec
from ssl4eco_training.resnet import resnet
from ssl4eco_training.weights import save_encoder

SPEC = InputSpec(bands=("B02", "B04", "B08"), ndvi=True, image_px=32)


def settings(**changes: Any) -> dict[str, Any]:
    return {**means(), **changes}


def without(name: str) -> Callable[[], dict[str, Any]]:
    return lambda: {key: value for key, value in means().items() if key != name}


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (without("units"), "units must be given"),
        (without("normalisation"), "normalisation must be given"),
        (lambda: settings(normalization=None), r"nobody reads 'normalization' \(did you mean normalisation"),
        (lambda: settings(units="percent"), "units must be DN or reflectance, got 'percent'"),
        (lambda: settings(encoder=3), "encoder must be a module or a function, got 3"),
        (lambda: settings(bands="B02"), "bands must be a list of names, got 'B02'"),
        (lambda: settings(bands=("B02", "B02")), "bands must be different"),
        (lambda: settings(ndvi=True, bands=("B02",)), "ndvi needs the bands B04 and B08"),
        (lambda: settings(size_px=0), "size_px must be a whole number of at least 1"),
        (lambda: settings(size_px=True), "size_px must be a whole number"),
        (lambda: settings(bands=("B02",)), r"normalisation: nobody reads 'B03'.*there are B02"),
        (lambda: settings(ndvi=True), "normalisation: NDVI must be given"),
        (lambda: settings(bands=("B02",), normalisation={"B02": (1.0, 0.0)}), "deviation above 0"),
        (lambda: settings(bands=("B02",), normalisation={"B02": 1.0}), "takes .mean, deviation. by band"),
        (lambda: settings(bands=("B02",), normalisation={"B02": (1.0,)}), "takes .mean, deviation"),
        (lambda: settings(bands=("B02",), normalisation=[1.0]), "must be None or"),
        (lambda: [1], "must return a mapping with encoder, bands, units, normalisation, size_px, got list"),
    ],
)
def test_settings_that_are_missing_unused_or_meaningless_are_refused(
    given: Callable[[], Any], message: str
) -> None:
    with pytest.raises(TrainingError, match=message):
        from_settings("mine:encoder", given())


def test_units_and_normalisation_reach_the_encoder() -> None:
    images = torch.full((1, 6, 4, 4), 6000.0)
    assert float(judged("tests.training.globe_encoders:means").prepare(images).mean()) == pytest.approx(1.0)
    assert float(judged("tests.training.globe_encoders:noise").prepare(images).mean()) == 6000.0
    with_ndvi = settings(bands=("B04", "B08"), ndvi=True, normalisation=None)
    assert from_settings("m:f", with_ndvi).spec.channels == 3


def test_exported_weights_are_fed_as_they_were_trained(tmp_path: Path) -> None:
    encoder = resnet(18, SPEC.channels, norm=None).eval()
    path = tmp_path / "mine.safetensors"
    save_encoder(path, encoder, SPEC, arch="resnet18", dataset="d")
    got = judged(str(path))
    images = torch.rand(2, 4, 32, 32) * 3000
    assert got.spec == SPEC and got.model.startswith("mine@")
    with torch.no_grad():
        torch.testing.assert_close(got.encoder(got.prepare(images)), encoder(images / 255))


def test_a_model_is_named_by_its_weights() -> None:
    first, again = (judged("tests.training.globe_encoders:means").model for _ in range(2))
    other = means()
    nn.init.ones_(other["encoder"].mix.bias)
    assert first == again != from_settings("tests.training.globe_encoders:means", other).model
    assert judged("tests.training.globe_encoders:noise").model.endswith("@function")


def test_a_random_twin_has_the_architecture_and_none_of_the_weights() -> None:
    class WithToken(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.token = nn.Parameter(torch.full((1, 6), 7.0))
            self.body = resnet(18, 6, norm=None)
            self.body.bn1.running_mean = torch.full((64,), 5.0)

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return self.body(images)  # type: ignore[no-any-return]

    own = from_settings("m:f", settings(encoder=WithToken()))
    state = torch.get_rng_state()
    twin, again, other = (random_twin(own, seed) for seed in (1, 1, 2))
    assert torch.equal(torch.get_rng_state(), state)
    mine, theirs = own.encoder.state_dict(), twin.encoder.state_dict()  # type: ignore[attr-defined]
    assert {n: t.shape for n, t in mine.items()} == {n: t.shape for n, t in theirs.items()}
    drawn = [n for n, t in mine.items() if t.ndim > 1]
    assert not any(torch.equal(mine[n], theirs[n]) for n in drawn)
    assert theirs["token"].abs().max() < 1 and not theirs["body.bn1.running_mean"].any()
    same, unlike = again.encoder.state_dict(), other.encoder.state_dict()  # type: ignore[attr-defined]
    assert all(torch.equal(same[n], theirs[n]) for n in theirs)
    assert not torch.equal(unlike["body.conv1.weight"], theirs["body.conv1.weight"])
    assert twin.model == f"random of {own.model}"


def test_what_is_no_encoder_is_refused_with_the_way_out() -> None:
    with pytest.raises(
        TrainingError, match=r"--encoder weights.pt: give exported weights .* module:function"
    ):
        judged("weights.pt")
    with pytest.raises(
        TrainingError, match=r"there is no random encoder of its architecture \(--no-random\)"
    ):
        random_twin(judged("tests.training.globe_encoders:noise"), 0)
    assert isinstance(means()["encoder"], Means)
