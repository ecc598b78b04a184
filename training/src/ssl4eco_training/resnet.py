"""ResNet-18, -34 and -50 (He et al. 2016) for images of any number of channels.

Axes: N samples, C channels, Y, X pixels, D features. Names and shapes of the parameters are those that
torchvision publishes (without ``fc``), so that its users, timm's and torchgeo's can load the weights; the
stride of a bottleneck is on its 3 x 3 convolution, as there.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional

Norm = Callable[[int], nn.Module]
DEPTHS = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3), 50: (3, 4, 6, 3)}
"""Blocks of each layer."""
_WIDTHS = (64, 128, 256, 512)
_TENSOR_CORE_CHANNELS = 8
"""Of a multiple of so many channels convolutions in half precision run well on NVIDIA's tensor cores
(docs.nvidia.com/deeplearning/performance/dl-performance-convolutional)."""


class PaddableConv2d(nn.Conv2d):
    """A convolution; with ``pad_channels`` it fills images and weight with 0 up to a multiple of 8 channels.

    Parameters, results and gradients are the same with and without, but for rounding.
    """

    pad_channels = False

    def forward(self, input: Tensor) -> Tensor:
        if not self.pad_channels:
            return super().forward(input)
        more = (0, 0, 0, 0, 0, -self.in_channels % _TENSOR_CORE_CHANNELS)
        images, weight = functional.pad(input, more), functional.pad(self.weight, more)
        return functional.conv2d(images, weight, self.bias, self.stride, self.padding, self.dilation)


class Basic(nn.Module):
    """Two 3 x 3 convolutions beside the identity."""

    expansion = 1

    def __init__(self, inside: int, width: int, stride: int, norm: Norm) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inside, width, 3, stride, padding=1, bias=False)
        self.bn1 = norm(width)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.bn2 = norm(width)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = _downsample(inside, width * self.expansion, stride, norm)

    def forward(self, x: Tensor) -> Tensor:
        y = self.relu(self.bn1(self.conv1(x)))
        y = self.bn2(self.conv2(y))
        return torch.relu_(y + (x if self.downsample is None else self.downsample(x)))


class Bottleneck(nn.Module):
    """1 x 1, 3 x 3 and 1 x 1 convolutions beside the identity."""

    expansion = 4

    def __init__(self, inside: int, width: int, stride: int, norm: Norm) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inside, width, 1, bias=False)
        self.bn1 = norm(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride, padding=1, bias=False)
        self.bn2 = norm(width)
        self.conv3 = nn.Conv2d(width, width * self.expansion, 1, bias=False)
        self.bn3 = norm(width * self.expansion)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = _downsample(inside, width * self.expansion, stride, norm)

    def forward(self, x: Tensor) -> Tensor:
        y = self.relu(self.bn1(self.conv1(x)))
        y = self.relu(self.bn2(self.conv2(y)))
        y = self.bn3(self.conv3(y))
        return torch.relu_(y + (x if self.downsample is None else self.downsample(x)))


class ResNet(nn.Module):
    """An encoder: images ``(N, C, Y, X)`` to the mean of the last feature map, ``(N, features)``."""

    def __init__(
        self, block: type[Basic] | type[Bottleneck], counts: tuple[int, ...], channels: int, norm: Norm
    ) -> None:
        super().__init__()
        self.features = _WIDTHS[-1] * block.expansion
        self.conv1 = PaddableConv2d(channels, _WIDTHS[0], 7, 2, padding=3, bias=False)
        self.bn1 = norm(_WIDTHS[0])
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(3, 2, padding=1)
        inside = _WIDTHS[0]
        for number, (width, count) in enumerate(zip(_WIDTHS, counts, strict=True), start=1):
            stride = 1 if number == 1 else 2
            blocks = [block(inside, width, stride, norm)]
            inside = width * block.expansion
            blocks += [block(inside, width, 1, norm) for _ in range(count - 1)]
            self.add_module(f"layer{number}", nn.Sequential(*blocks))
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, images_NCYX: Tensor) -> Tensor:
        x = self.maxpool(self.relu(self.bn1(self.conv1(images_NCYX))))
        for number in range(1, len(_WIDTHS) + 1):
            x = self.get_submodule(f"layer{number}")(x)
        pooled_ND: Tensor = x.mean(dim=(2, 3))
        return pooled_ND


def resnet(depth: int, channels: int, *, norm: Norm | None = None, pad_channels: bool = False) -> ResNet:
    """A ResNet of ``depth`` 18, 34 or 50 for ``channels`` bands, with random weights.

    ``norm`` makes the normalisation of a number of channels; none: batch norm over all samples of a pass.
    ``pad_channels`` lets the first convolution work on a multiple of 8 channels, the added ones 0: the same
    parameters and results, faster on a GPU in half precision with ``channels_last``.
    """
    if depth not in DEPTHS:
        raise ValueError(f"depth must be one of {', '.join(map(str, DEPTHS))}, got {depth}")
    if channels < 1:
        raise ValueError(f"channels must be at least 1, got {channels}")
    made = ResNet(Bottleneck if depth == 50 else Basic, DEPTHS[depth], channels, norm or nn.BatchNorm2d)
    made.conv1.pad_channels = pad_channels
    return made


def _downsample(inside: int, outside: int, stride: int, norm: Norm) -> nn.Sequential | None:
    if stride == 1 and inside == outside:
        return None
    return nn.Sequential(nn.Conv2d(inside, outside, 1, stride, bias=False), norm(outside))
