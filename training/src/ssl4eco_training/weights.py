"""Encoders on disk: safetensors that say what the encoder was fed, and are refused where that does not fit.

The tensors have plain names, so that ``timm``, ``torchvision`` and ``torchgeo`` load a ResNet with
``load_state_dict(load_file(path), strict=False)``: only ``fc`` is missing.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from ssl4eco_training.errors import CheckpointError
from ssl4eco_training.inputs import DN_SCALE, NDVI_SCALE, InputSpec
from ssl4eco_training.resnet import DEPTHS, resnet

FORMAT = 1
_ENTRY, _DIGEST = "ssl4eco", "ssl4eco_sha256"
NDVI_RULES = {
    "reference": "max((B08 - B04) / (B08 + B04), 0) x ndvi_scale, before the augmentation, then / dn_scale",
    "standardised": "max((B08 - B04) / (B08 + B04), 0) x ndvi_scale, after brightness and contrast",
}
"""By the scaling of the input; written into the file."""
MakeEncoder = Callable[[int], nn.Module]


@dataclass(frozen=True, slots=True, kw_only=True)
class Description:
    """What an exported file says of itself: ``dataset`` is the fingerprint of what it was trained on."""

    arch: str
    spec: InputSpec
    dataset: str
    versions: Mapping[str, str]
    extra: Mapping[str, Any]


def save_encoder(
    path: str | Path,
    encoder: nn.Module,
    spec: InputSpec,
    *,
    arch: str,
    dataset: str,
    extra: Mapping[str, Any] | None = None,
) -> Path:
    """Write an encoder, whole or not at all; returns the path.

    ``arch`` is ``resnet18``, ``resnet34``, ``resnet50`` or the import path of the encoder's maker; ``extra``
    is whatever JSON can hold (recipe, step). Raises ``ValueError`` for an encoder that does not fit ``spec``.
    """
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in plain_state(encoder).items()}
    _refuse_channels(tensors, spec)
    about = {
        "format": FORMAT,
        "arch": arch,
        "input": spec.as_dict(),
        "dn_scale": DN_SCALE,
        "ndvi_scale": NDVI_SCALE,
        "ndvi_rule": NDVI_RULES[spec.scaling] if spec.ndvi else "",
        "dataset": dataset,
        "versions": {name: _version(name) for name in ("ssl4eco-training", "torch", "safetensors")},
        "extra": dict(extra or {}),
    }
    entry = json.dumps(about, sort_keys=True)
    metadata = {"format": "pt", _ENTRY: entry, _DIGEST: _digest(entry, tensors)}
    return _replace(Path(path), save(tensors, metadata))


def load_encoder(
    path: str | Path, *, expect: InputSpec | None = None, make: MakeEncoder | None = None
) -> tuple[nn.Module, InputSpec]:
    """The encoder of a file in ``eval`` mode on the CPU, and what it must be fed.

    ``make`` makes an encoder for a number of channels where the file holds none of the built-in ones. Raises
    :class:`CheckpointError` for a file that is damaged, not ours, or of another input than ``expect``.
    """
    description, tensors = _read(Path(path))
    spec = description.spec
    if expect is not None:
        refuse_other(path, spec, expect)
    encoder = (make or _built_in(path, description.arch))(spec.channels)
    try:
        missing, unknown = encoder.load_state_dict(tensors, strict=False)
    except RuntimeError as error:
        raise CheckpointError(f"{path}: the tensors do not fit a {description.arch}: {error}") from error
    if missing or unknown:
        raise CheckpointError(
            f"{path}: the tensors do not fit a {description.arch}: missing {missing[:3]}, unknown "
            f"{unknown[:3]}"
        )
    return encoder.eval(), spec


def describe(path: str | Path) -> Description:
    """What a file says of itself, checked against its tensors. Raises as :func:`load_encoder`."""
    return _read(Path(path))[0]


def refuse_other(path: str | Path, spec: InputSpec, expect: InputSpec) -> None:
    """Raise :class:`CheckpointError` with the first field in which two inputs differ, and both values."""
    for field in fields(InputSpec):
        there, wanted = getattr(spec, field.name), getattr(expect, field.name)
        if there != wanted:
            raise CheckpointError(
                f"{path}: the encoder was trained with {field.name} = {there!r}, but {wanted!r} is expected: "
                "feed it what it was trained with, or choose other weights"
            )


def plain_state(encoder: nn.Module) -> dict[str, Tensor]:
    """The tensors of an encoder by their plain names, compiled or not."""
    plain = getattr(encoder, "_orig_mod", encoder)
    return {name: tensor for name, tensor in plain.state_dict().items() if isinstance(tensor, Tensor)}


def _read(path: Path) -> tuple[Description, dict[str, Tensor]]:
    if not path.is_file():
        raise CheckpointError(f"{path}: there is no such file")
    try:
        with safe_open(path, framework="pt") as opened:
            metadata = opened.metadata() or {}
            tensors = {name: opened.get_tensor(name) for name in opened.offset_keys()}
    except SafetensorError as error:
        raise CheckpointError(f"{path}: damaged, or no safetensors file: {error}") from error
    if _ENTRY not in metadata:
        raise CheckpointError(
            f"{path}: does not say what its encoder must be fed, so it was not written by save_encoder: "
            "load it with torch and scale its input as its authors did"
        )
    if metadata.get(_DIGEST) != _digest(metadata[_ENTRY], tensors):
        raise CheckpointError(f"{path}: damaged: its checksum does not match; copy or export it again")
    return _described(path, json.loads(metadata[_ENTRY])), tensors


def _described(path: Path, about: dict[str, Any]) -> Description:
    if about.get("format") != FORMAT:
        raise CheckpointError(f"{path}: has format {about.get('format')!r}, this version reads {FORMAT}")
    spec = InputSpec.from_dict(about["input"])
    rule = NDVI_RULES[spec.scaling] if spec.ndvi else ""
    for name, ours in (("dn_scale", DN_SCALE), ("ndvi_scale", NDVI_SCALE), ("ndvi_rule", rule)):
        if about[name] != ours:
            raise CheckpointError(f"{path}: has {name} = {about[name]!r}, this version scales by {ours!r}")
    return Description(
        arch=about["arch"],
        spec=spec,
        dataset=about["dataset"],
        versions=about["versions"],
        extra=about["extra"],
    )


def _built_in(path: str | Path, arch: str) -> MakeEncoder:
    for depth in DEPTHS:
        if arch == f"resnet{depth}":
            return lambda channels: resnet(depth, channels)
    raise CheckpointError(f"{path}: holds a {arch}: pass the function that makes one as make=")


def _refuse_channels(tensors: Mapping[str, Tensor], spec: InputSpec) -> None:
    first = tensors.get("conv1.weight")
    if first is not None and first.shape[1] != spec.channels:
        raise ValueError(f"the encoder takes {first.shape[1]} channels, the input has {spec.channels}")


def _digest(entry: str, tensors: Mapping[str, Tensor]) -> str:
    """SHA-256 over the description and each tensor's name, type, shape and bytes."""
    digest = hashlib.sha256(entry.encode())
    for name in sorted(tensors):
        tensor = tensors[name]
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _replace(path: Path, content: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, partial = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        Path(partial).replace(path)
    finally:
        Path(partial).unlink(missing_ok=True)
    return path


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"
