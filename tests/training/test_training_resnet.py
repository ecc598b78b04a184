"""The ResNets against the published list of names and shapes, written here by its rule."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from ssl4eco_training.resnet import ResNet, resnet

BLOCKS = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3), 50: (3, 4, 6, 3)}
PUBLISHED_ENTRIES = {18: 122, 34: 218, 50: 320}
"""Of torchvision's state_dict, with ``fc.weight`` and ``fc.bias``."""
KNOWN_SHAPES = {
    18: {
        "layer1.0.conv1.weight": (64, 64, 3, 3),
        "layer2.0.downsample.0.weight": (128, 64, 1, 1),
        "layer4.1.conv2.weight": (512, 512, 3, 3),
    },
    34: {"layer3.5.conv2.weight": (256, 256, 3, 3), "layer4.2.bn2.weight": (512,)},
    50: {
        "layer1.0.conv1.weight": (64, 64, 1, 1),
        "layer1.0.downsample.0.weight": (256, 64, 1, 1),
        "layer2.0.conv1.weight": (128, 256, 1, 1),
        "layer2.0.conv2.weight": (128, 128, 3, 3),
        "layer4.0.downsample.0.weight": (2048, 1024, 1, 1),
        "layer4.2.conv3.weight": (2048, 512, 1, 1),
    },
}
PUBLISHED_PARAMETERS = {18: 11_689_512, 34: 21_797_672, 50: 25_557_032}
"""Of the published models of 3 channels and 1000 classes."""


def published_names(depth: int) -> set[str]:
    """The names by torchvision's rule, without ``fc``."""
    convolutions = 3 if depth == 50 else 2
    norms, names = ["bn1"], {"conv1.weight"}
    for layer, count in enumerate(BLOCKS[depth], start=1):
        for block in range(count):
            place = f"layer{layer}.{block}"
            for number in range(1, convolutions + 1):
                names.add(f"{place}.conv{number}.weight")
                norms.append(f"{place}.bn{number}")
            if block == 0 and (layer > 1 or depth == 50):
                names.add(f"{place}.downsample.0.weight")
                norms.append(f"{place}.downsample.1")
    kinds = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")
    return names | {f"{norm}.{kind}" for norm in norms for kind in kinds}


@pytest.mark.parametrize("depth", [18, 34, 50])
def test_names_and_shapes_are_the_published_ones(depth: int) -> None:
    state = resnet(depth, 9).state_dict()
    assert set(state) == published_names(depth)
    assert len(state) == PUBLISHED_ENTRIES[depth] - 2
    assert state["conv1.weight"].shape == (64, 9, 7, 7)
    assert {name: tuple(state[name].shape) for name in KNOWN_SHAPES[depth]} == KNOWN_SHAPES[depth]


@pytest.mark.parametrize("depth", [18, 34, 50])
def test_three_channels_have_the_published_number_of_parameters(depth: int) -> None:
    encoder = resnet(depth, 3)
    fc = encoder.features * 1000 + 1000
    assert sum(p.numel() for p in encoder.parameters()) + fc == PUBLISHED_PARAMETERS[depth]


def test_features_are_the_mean_of_a_map_32_times_smaller() -> None:
    encoder = resnet(18, 9).eval()
    images = torch.randn(2, 9, 64, 96)
    maps = []
    encoder.get_submodule("layer4").register_forward_hook(lambda _m, _i, out: maps.append(out))
    with torch.no_grad():
        features = encoder(images)
    assert maps[0].shape == (2, encoder.features, 2, 3)
    torch.testing.assert_close(features, maps[0].mean(dim=(2, 3)))


def test_the_stride_of_a_bottleneck_is_on_its_three_by_three() -> None:
    encoder = resnet(50, 3)
    strides = {n: m.stride for n, m in encoder.named_modules() if n.startswith("layer3.0.conv")}
    assert strides == {"layer3.0.conv1": (1, 1), "layer3.0.conv2": (2, 2), "layer3.0.conv3": (1, 1)}


@pytest.mark.parametrize(("depth", "channels", "named"), [(101, 9, "depth"), (18, 0, "channels")])
def test_values_that_cannot_be_meant_are_refused(depth: int, channels: int, named: str) -> None:
    with pytest.raises(ValueError, match=named):
        resnet(depth, channels)


def results(encoder: ResNet, images: torch.Tensor) -> list[torch.Tensor]:
    """Features, and the gradients of images and parameters."""
    images = images.clone(memory_format=torch.preserve_format).requires_grad_()
    features = encoder(images)
    gradients = torch.autograd.grad(features.square().sum(), [images, *encoder.parameters()])
    return [features, *gradients]


@pytest.mark.parametrize("channels", [3, 8, 9])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_padded_channels_change_no_result_and_no_gradient(channels: int, layout: torch.memory_format) -> None:
    torch.manual_seed(0)
    plain = resnet(18, channels).double().to(memory_format=layout)
    torch.manual_seed(0)
    padded = resnet(18, channels, pad_channels=True).double().to(memory_format=layout)
    images = torch.randn(3, channels, 32, 32, dtype=torch.float64).to(memory_format=layout)
    assert [*plain.state_dict()] == [*padded.state_dict()]
    for one, other in zip(results(plain, images), results(padded, images), strict=True):
        assert one.shape == other.shape
        torch.testing.assert_close(one, other)


class _Inputs(TorchDispatchMode):
    """Images and weight of each convolution."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[tuple[torch.Tensor, torch.Tensor]] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func.overloadpacket.__name__ == "convolution":
            self.seen.append(args[:2])
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize(("channels", "worked"), [(3, 8), (8, 8), (9, 16)])
def test_padded_channels_are_a_multiple_of_8_in_the_layout_that_is_given(channels: int, worked: int) -> None:
    encoder = resnet(18, channels, pad_channels=True).to(memory_format=torch.channels_last)
    images = torch.randn(2, channels, 32, 32).to(memory_format=torch.channels_last)
    for found in (encoder, copy.deepcopy(encoder)):
        with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16), _Inputs() as inputs:
            found(images)
        for tensor in inputs.seen[0]:
            assert tensor.shape[1] == worked and tensor.dtype == torch.bfloat16
            assert tensor.is_contiguous(memory_format=torch.channels_last)
    encoder.conv1.pad_channels = False
    with torch.no_grad(), _Inputs() as inputs:
        encoder(images)
    assert inputs.seen[0][0].shape[1] == channels
