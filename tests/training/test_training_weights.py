"""Exported encoders: what they say of themselves, and what is refused."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import nn

from ssl4eco_training.errors import CheckpointError
from ssl4eco_training.inputs import InputSpec
from ssl4eco_training.norm import grouped
from ssl4eco_training.resnet import resnet
from ssl4eco_training.weights import describe, load_encoder, plain_state, save_encoder

SPEC = InputSpec(image_px=64)


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> tuple[nn.Module, Path]:
    """An encoder with statistics of its own, and its file."""
    torch.manual_seed(0)
    encoder = resnet(18, 9, norm=grouped(2))
    encoder(torch.randn(4, 9, 32, 32))
    path = tmp_path_factory.mktemp("weights") / "deep" / "encoder.safetensors"
    save_encoder(path, encoder, SPEC, arch="resnet18", dataset="abc123", extra={"step": 7})
    return encoder, path


def rewritten(path: Path, target: Path, **changes: object) -> Path:
    """The same tensors, the description changed without its checksum."""
    with safe_open(path, framework="pt") as opened:
        metadata = opened.metadata()
    about = {**json.loads(metadata["ssl4eco"]), **changes}
    save_file(load_file(path), target, {**metadata, "ssl4eco": json.dumps(about, sort_keys=True)})
    return target


def test_a_loaded_encoder_gives_the_same_features(exported: tuple[nn.Module, Path]) -> None:
    encoder, path = exported
    loaded, spec = load_encoder(path, expect=SPEC)
    images = torch.randn(3, 9, 32, 32)
    assert spec == SPEC
    assert not loaded.training
    with torch.no_grad():
        assert torch.equal(loaded(images), encoder.eval()(images))


def test_the_file_says_all_that_is_needed(exported: tuple[nn.Module, Path]) -> None:
    said = describe(exported[1])
    assert (said.arch, said.spec, said.dataset, said.extra) == ("resnet18", SPEC, "abc123", {"step": 7})
    assert said.versions["torch"] == torch.__version__
    with safe_open(exported[1], framework="pt") as opened:
        about = json.loads(opened.metadata()["ssl4eco"])
    assert about["input"]["bands"] == ["B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A"]
    assert (about["dn_scale"], about["ndvi_scale"]) == (255.0, 10_000.0)
    assert "max((B08 - B04) / (B08 + B04), 0)" in about["ndvi_rule"]


def test_other_libraries_find_all_but_the_classifier(exported: tuple[nn.Module, Path]) -> None:
    """As with torchvision's, timm's and torchgeo's ResNets, which have ``fc`` beside the same names."""
    other = resnet(18, 9)
    other.add_module("fc", nn.Linear(512, 1000))
    missing, unknown = other.load_state_dict(load_file(exported[1]), strict=False)
    assert (missing, unknown) == (["fc.weight", "fc.bias"], [])


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"bands": ("B02", "B04", "B08")}, "bands = .*'B8A'.* but .*'B02', 'B04', 'B08'.* is expected"),
        ({"ndvi": False}, "ndvi = True, but False"),
        ({"image_px": 224}, "image_px = 64, but 224"),
        (
            {"scaling": "standardised", "mean": (1.0,) * 9, "std": (2.0,) * 9},
            "'reference', but 'standardised'",
        ),
    ],
)
def test_another_input_is_refused(
    exported: tuple[nn.Module, Path], change: dict[str, object], said: str
) -> None:
    with pytest.raises(CheckpointError, match=said):
        load_encoder(exported[1], expect=replace(SPEC, **change))


def test_a_damaged_file_is_refused(exported: tuple[nn.Module, Path], tmp_path: Path) -> None:
    content = bytearray(exported[1].read_bytes())
    content[-1] ^= 1
    flipped, cut = tmp_path / "flipped.safetensors", tmp_path / "cut.safetensors"
    flipped.write_bytes(content)
    cut.write_bytes(content[: len(content) // 2])
    with pytest.raises(CheckpointError, match=r"flipped.safetensors: damaged: its checksum"):
        load_encoder(flipped)
    with pytest.raises(CheckpointError, match=r"cut.safetensors: damaged"):
        load_encoder(cut)
    with pytest.raises(CheckpointError, match="there is no such file"):
        load_encoder(tmp_path / "absent.safetensors")


def test_a_changed_description_is_refused(exported: tuple[nn.Module, Path], tmp_path: Path) -> None:
    changed = rewritten(exported[1], tmp_path / "changed.safetensors", dataset="another")
    with pytest.raises(CheckpointError, match="checksum"):
        load_encoder(changed)


def test_a_foreign_file_is_refused(exported: tuple[nn.Module, Path], tmp_path: Path) -> None:
    save_file(load_file(exported[1]), tmp_path / "foreign.safetensors", {"format": "pt"})
    with pytest.raises(CheckpointError, match="was not written by save_encoder"):
        load_encoder(tmp_path / "foreign.safetensors")


@pytest.mark.parametrize("name", ["DN_SCALE", "NDVI_SCALE"])
def test_weights_of_another_scale_are_refused(
    exported: tuple[nn.Module, Path], monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr(f"ssl4eco_training.weights.{name}", 1.0)
    with pytest.raises(CheckpointError, match=f"has {name.lower()} = .*, this version scales by 1.0"):
        load_encoder(exported[1])


def test_an_encoder_of_ones_own_needs_its_maker(tmp_path: Path) -> None:
    def make(channels: int) -> nn.Module:
        return nn.Sequential(nn.Flatten(), nn.Linear(channels * 4, 5))

    own, path = make(9), tmp_path / "own.safetensors"
    save_encoder(path, own, SPEC, arch="my.module:make", dataset="abc")
    images = torch.randn(2, 9, 2, 2)
    assert torch.equal(load_encoder(path, make=make)[0](images), own(images))
    with pytest.raises(CheckpointError, match=r"holds a my\.module:make: pass the function"):
        load_encoder(path)
    with pytest.raises(CheckpointError, match=r"do not fit a my\.module:make"):
        load_encoder(path, make=lambda channels: make(channels + 1))
    with pytest.raises(CheckpointError, match=r"missing \['weight', 'bias'\]"):
        load_encoder(path, make=lambda _channels: nn.Linear(3, 3))


def test_an_encoder_that_does_not_fit_its_input_is_not_written(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="takes 3 channels, the input has 9"):
        save_encoder(tmp_path / "x.safetensors", resnet(18, 3), SPEC, arch="resnet18", dataset="abc")
    assert not list(tmp_path.iterdir())


def test_compiled_and_channels_last_encoders_are_written_plain(tmp_path: Path) -> None:
    encoder = resnet(18, 9).to(memory_format=torch.channels_last)
    compiled = torch.compile(encoder, backend="eager")
    assert list(plain_state(compiled)) == list(encoder.state_dict())
    path = save_encoder(tmp_path / "c.safetensors", compiled, SPEC, arch="resnet18", dataset="abc")
    assert torch.equal(
        load_encoder(path)[0].state_dict()["conv1.weight"], encoder.state_dict()["conv1.weight"]
    )
    assert [file.name for file in tmp_path.iterdir()] == ["c.safetensors"]
