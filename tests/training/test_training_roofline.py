"""The limits of a GPU, against figures that were derived by hand."""

from __future__ import annotations

import pytest
import torch

from ssl4eco_training.resnet import resnet
from ssl4eco_training.roofline import GPUS, Cost, cost_of, known_gpu, locations_s


@pytest.fixture(scope="module")
def resnet50() -> Cost:
    with torch.device("meta"):
        encoder = resnet(50, 9, norm=None)
    return cost_of(encoder, 9, 224)


def test_a_forward_is_what_the_architecture_says(resnet50: Cost) -> None:
    """8.65 GFLOP; 11.1 million outputs of convolutions (He et al. 2016, table 1, with nine channels)."""
    assert resnet50.flop == pytest.approx(8.65e9, rel=0.01)
    assert resnet50.outputs == pytest.approx(11.1e6, rel=0.01)


@pytest.mark.parametrize(("keys", "limit"), [(3, 5950), (1, 9050)])
def test_memory_traffic_binds_as_derived_for_an_h200(resnet50: Cost, keys: int, limit: float) -> None:
    speed = locations_s(resnet50, GPUS["H200"], trained=1, forward_only=keys, precision="bf16")
    assert speed == pytest.approx(limit, rel=0.02)
    unlimited = Cost(flop=resnet50.flop, outputs=1.0)
    by_arithmetic = locations_s(unlimited, GPUS["H200"], trained=1, forward_only=keys, precision="bf16")
    assert by_arithmetic == pytest.approx(989e12 / (8.65e9 * (3 + keys)), rel=0.01)


def test_fp32_moves_twice_the_bytes(resnet50: Cost) -> None:
    half, full = (
        locations_s(resnet50, GPUS["A100"], trained=1, forward_only=3, precision=p) for p in ("bf16", "fp32")
    )
    assert full == pytest.approx(half / 2)


def test_gpus_are_known_by_torchs_names() -> None:
    assert known_gpu("NVIDIA H200") == GPUS["H200"]
    assert known_gpu("NVIDIA A100-SXM4-80GB") == GPUS["A100"]
    assert known_gpu("Some other GPU") is None


def test_counting_leaves_the_encoder_as_it_was() -> None:
    encoder = resnet(18, 3, norm=None).train()
    before = {name: value.clone() for name, value in encoder.state_dict().items()}
    cost_of(encoder, 3, 32)
    assert encoder.training
    assert all(torch.equal(before[name], value) for name, value in encoder.state_dict().items())
