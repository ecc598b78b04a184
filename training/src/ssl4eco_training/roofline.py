"""How many locations a second a GPU could train at most: by arithmetic and by memory traffic.

Traffic is counted in passes over the outputs of the convolutions, with batch norm, ReLU and addition fused
around them. Forward 5: the convolution writes; the statistics read; the normalisation reads and writes;
the next convolution reads. Backward 9: batch norm reads gradient and input twice and writes once; the
convolution's two gradients read that once each, one reads the image, the other writes its gradient. Four
fifths of the nominal bandwidth can be had.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

_FORWARD_PASSES, _BACKWARD_PASSES, _USABLE = 5, 9, 0.8


@dataclass(frozen=True, slots=True, kw_only=True)
class Gpu:
    """Nominal limits of a GPU (the makers' data sheets, dense): bf16 and fp32 (TF32) FLOP/s, bytes/s."""

    bf16_flops: float
    fp32_flops: float
    bytes_s: float


GPUS: Mapping[str, Gpu] = {
    "H200": Gpu(bf16_flops=989e12, fp32_flops=494e12, bytes_s=4.8e12),
    "H100": Gpu(bf16_flops=989e12, fp32_flops=494e12, bytes_s=3.35e12),
    "A100": Gpu(bf16_flops=312e12, fp32_flops=156e12, bytes_s=2.04e12),
    "L40S": Gpu(bf16_flops=362e12, fp32_flops=183e12, bytes_s=0.864e12),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """Of one image forward through an encoder: FLOP, and values that its convolutions put out."""

    flop: float
    outputs: float


def known_gpu(name: str) -> Gpu | None:
    """The limits of a GPU by the name torch gives; None for one that is not listed."""
    return next((gpu for key, gpu in GPUS.items() if key in name), None)


def cost_of(encoder: nn.Module, channels: int, px: int) -> Cost:
    """Counted on one image of ``channels`` and ``px`` x ``px``; the encoder is left as it was."""
    outputs: list[int] = []

    def count(_module: nn.Module, _inputs: object, output: Tensor) -> None:
        outputs.append(output.numel())

    hooks = [m.register_forward_hook(count) for m in encoder.modules() if isinstance(m, nn.Conv2d)]
    training = encoder.training
    device = next(encoder.parameters()).device
    try:
        with torch.no_grad(), FlopCounterMode(display=False) as counter:
            encoder.eval()(torch.zeros(1, channels, px, px, device=device))
    finally:
        encoder.train(training)
        for hook in hooks:
            hook.remove()
    return Cost(flop=float(counter.get_total_flops()), outputs=float(sum(outputs)))


def locations_s(cost: Cost, gpu: Gpu, *, trained: int, forward_only: int, precision: str) -> float:
    """Locations a second that ``gpu`` cannot exceed.

    ``trained`` images of each location go forward and back (thrice the FLOP of a forward), ``forward_only``
    are keys. Precision is fp32, bf16 or fp16.
    """
    flop = cost.flop * (3 * trained + forward_only)
    size = 4 if precision == "fp32" else 2
    passes = trained * (_FORWARD_PASSES + _BACKWARD_PASSES) + forward_only * _FORWARD_PASSES
    peak = gpu.fp32_flops if precision == "fp32" else gpu.bf16_flops
    return min(peak / flop, _USABLE * gpu.bytes_s / (passes * size * cost.outputs))
