"""SeCo and MoCo as modules, and an objective of one's own."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from ssl4eco_training.imports import load_object
from ssl4eco_training.inputs import InputSpec
from ssl4eco_training.norm import grouped
from ssl4eco_training.objectives.contrastive import Contrastive, _dealt
from ssl4eco_training.objectives.moco import MoCo
from ssl4eco_training.objectives.seco import SeCo
from ssl4eco_training.protocols import Encoder, Objective
from ssl4eco_training.resnet import resnet
from ssl4eco_training.views import ViewPlan

HERE = Path(__file__).parent


class Small(nn.Sequential):
    """An encoder of two convolutions."""

    def __init__(self, norm: Callable[[int], nn.Module] = nn.BatchNorm2d) -> None:
        super().__init__(
            nn.Conv2d(9, 8, 3, 2),
            norm(8),
            nn.ReLU(),
            nn.Conv2d(8, 12, 3, 2),
            norm(12),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
        )
        self.features = 12


def views(count: int, samples: int = 8, seed: int = 0) -> list[Tensor]:
    random = torch.Generator().manual_seed(seed)
    return [torch.randn(samples, 9, 16, 16, generator=random) for _ in range(count)]


def project(heads: nn.Module, space: int, features_ND: Tensor) -> Tensor:
    """One head by plain linear layers, of unit length."""
    hidden = functional.linear(features_ND, heads.weight1_SDD[space].T, heads.bias1_S1D[space, 0]).relu()
    out = functional.linear(hidden, heads.weight2_SDP[space].T, heads.bias2_S1P[space, 0])
    return functional.normalize(out, dim=1)


def literal_seco(objective: SeCo, shown: Sequence[Tensor]) -> Tensor:
    """The published forward, space by space."""
    q, *keys = shown
    features = objective.encoder(q)
    with torch.no_grad():
        key_features = [objective.key_encoder(k) for k in keys]
    total = torch.zeros(())
    for i in range(3):
        zq = project(objective.heads, i, features)
        zk = [project(objective.key_heads, i, f) for f in key_features]
        negatives = [objective.queue.keys_SKD[i].clone(), *(zk[j] for j in range(3) if j != i and i > 0)]
        positive = (zq * zk[i]).sum(dim=1, keepdim=True)
        logits = torch.cat([positive, zq @ torch.cat(negatives).T], dim=1) / objective.temperature
        total = total + functional.cross_entropy(logits, torch.zeros(len(q), dtype=torch.long))
    return total


@pytest.fixture
def seco() -> SeCo:
    torch.manual_seed(0)
    return SeCo(Small, dim=6, queue=32)


def moved_apart(objective: Contrastive) -> None:
    """Let encoder and twin differ."""
    with torch.no_grad():
        for parameter in [*objective.encoder.parameters(), *objective.heads.parameters()]:
            parameter.add_(torch.randn_like(parameter) * 0.1)


def test_views_are_those_of_the_published_code() -> None:
    plans = [(0, False), (1, True), (2, False), (0, True)]
    assert SeCo.views == tuple(ViewPlan(image=i, augment=a) for i, a in plans)
    assert MoCo.views == tuple(ViewPlan(image=i, augment=True) for i in (0, 1))
    assert (SeCo.images, MoCo.images) == (3, 2)


def test_seco_is_the_literal_forward(seco: SeCo) -> None:
    moved_apart(seco)
    other, shown = copy.deepcopy(seco), views(4)
    loss = seco(shown)
    wanted = literal_seco(other, shown)
    torch.testing.assert_close(loss.total, wanted)
    loss.total.backward()
    wanted.backward()
    for ours, theirs in zip(seco.parameters(), other.parameters(), strict=True):
        if theirs.requires_grad:
            torch.testing.assert_close(ours.grad, theirs.grad)
    torch.testing.assert_close(sum(loss.shown[f"loss_{i}"] for i in range(3)), loss.total.detach())


def test_the_key_of_its_own_view_goes_into_each_queue(seco: SeCo) -> None:
    moved_apart(seco)
    other, shown = copy.deepcopy(seco), views(4)
    seco(shown)
    assert torch.equal(seco.queue.keys_SKD, other.queue.keys_SKD)
    seco.after_step()
    for i in range(3):
        wanted = project(other.key_heads, i, other.key_encoder(shown[1 + i]))
        torch.testing.assert_close(seco.queue.keys_SKD[i, :8], wanted)
        assert torch.equal(seco.queue.keys_SKD[i, 8:], other.queue.keys_SKD[i, 8:])


def test_the_parts_of_a_step_have_the_same_queue(seco: SeCo) -> None:
    """Their keys come after it, in their order."""
    other, parts = copy.deepcopy(seco), [views(4, seed=1), views(4, seed=2)]
    alone = [copy.deepcopy(seco)(part).total for part in parts]
    assert all(torch.equal(seco(part).total, total) for part, total in zip(parts, alone, strict=True))
    seco.after_step()
    for part in parts:
        other(part)
        other.after_step()
    assert seco.queue.written == other.queue.written == 16
    assert torch.equal(seco.queue.keys_SKD, other.queue.keys_SKD)


def test_moco_is_the_literal_forward() -> None:
    moco = MoCo(Small, dim=6, queue=32)
    moved_apart(moco)
    other, (q, k) = copy.deepcopy(moco), views(2)
    zq, zk = project(other.heads, 0, other.encoder(q)), project(other.key_heads, 0, other.key_encoder(k))
    positive = (zq * zk).sum(dim=1, keepdim=True)
    logits = torch.cat([positive, zq @ other.queue.keys_SKD[0].T], dim=1) / 0.2
    wanted = functional.cross_entropy(logits, torch.zeros(8, dtype=torch.long))
    torch.testing.assert_close(moco([q, k]).total, wanted)


def test_twins_begin_equal_move_before_the_step_and_get_no_gradient(seco: SeCo) -> None:
    torch.testing.assert_close(seco.key_encoder.state_dict(), seco.encoder.state_dict())
    moved_apart(seco)
    before = [p.clone() for p in seco.key_heads.parameters()]
    seco.before_step()
    for twin, old, now in zip(seco.key_heads.parameters(), before, seco.heads.parameters(), strict=True):
        torch.testing.assert_close(twin, 0.999 * old + 0.001 * now)
    seco(views(4)).total.backward()
    twins = [*seco.key_encoder.parameters(), *seco.key_heads.parameters()]
    assert all(p.grad is None for p in twins)
    assert all(p.grad is not None for p in [*seco.encoder.parameters(), *seco.heads.parameters()])


def test_each_key_view_passes_by_itself(seco: SeCo) -> None:
    shown = views(4)
    with torch.no_grad():
        alone = seco._keys(shown[1:])
        shown[3] = shown[3] * 100
        torch.testing.assert_close(seco._keys(shown[1:])[:, :2], alone[:, :2])


def test_in_eval_mode_nothing_is_put_into_the_queue(seco: SeCo) -> None:
    before = copy.deepcopy(seco.state_dict())
    seco.eval()(views(4))
    torch.testing.assert_close(seco.state_dict(), before)


def test_a_saved_and_loaded_objective_goes_on_the_same(seco: SeCo) -> None:
    seco(views(4, seed=1))
    seco.after_step()
    torch.manual_seed(9)
    other = SeCo(Small, dim=6, queue=32)
    other.load_state_dict(seco.state_dict())
    for seed in (2, 3, 4, 5):
        assert torch.equal(seco(views(4, seed=seed)).total, other(views(4, seed=seed)).total)
        seco.after_step()
        other.after_step()
    assert (other.queue.written, other.queue.pointer) == (40, 8)


def test_what_is_shown_takes_no_gradient_and_tells_a_collapse(seco: SeCo) -> None:
    shown = seco(views(4)).shown
    assert not any(value.requires_grad or value.ndim for value in shown.values())
    names = {f"{kind}_{i}" for kind in ("loss", "accuracy") for i in range(3)}
    assert set(shown) == names | {"embedding_std", "queue_filled"}
    assert shown["queue_filled"] == 0
    seco.after_step()
    same = seco([view[:1].expand_as(view) for view in views(4)]).shown
    assert same["queue_filled"] == 0.25
    assert same["embedding_std"] < 1e-4 < shown["embedding_std"]


def test_parity_mode_keeps_the_leak_and_corrected_deals_the_keys_out() -> None:
    """In parity the key of an image equal to the query's has the same embedding; dealt out it has not."""
    same = views(1, samples=16)[0]
    distances = {}
    for mode in ("parity", "corrected"):
        torch.manual_seed(0)
        objective = MoCo(lambda: Small(grouped(4)), dim=6, queue=32, mode=mode)
        with torch.no_grad():
            queries = functional.normalize(objective.heads(objective.encoder(same)), dim=-1)
            distances[mode] = (queries[0] - objective._keys([same])[0, 0]).norm(dim=1)
    assert distances["parity"].max() < 1e-6
    assert distances["corrected"].min() > 1e-5


@pytest.mark.parametrize(("group", "groups"), [(2, 4), (4, 2), (8, 1)])
def test_dealt_out_or_not_each_key_is_of_its_own_image(group: int, groups: int) -> None:
    """In ``eval`` mode no sample sees another, so that dealing must change nothing."""
    keys = []
    for mode in ("parity", "corrected"):
        torch.manual_seed(0)
        objective = SeCo(
            lambda: Small(grouped(group)), dim=6, queue=32, mode=mode, shuffled_groups=groups
        ).eval()
        keys.append(objective._keys(views(3, samples=16)))
    torch.testing.assert_close(*keys)


def test_dealt_keys_come_back_in_order_and_meet_every_group() -> None:
    numbers = torch.arange(32)
    dealt = _dealt(numbers, 4, 4)
    assert torch.equal(_dealt(dealt, 4, 4), numbers)
    for group in dealt.split(4):
        assert sorted((group % 16 // 4).tolist()) == [0, 1, 2, 3]
    uneven = _dealt(numbers, 4, 2)
    assert torch.equal(_dealt(uneven, 2, 4), numbers)
    images = torch.randn(8, 3, 4, 4).contiguous(memory_format=torch.channels_last)
    assert _dealt(images, 4, 2).is_contiguous(memory_format=torch.channels_last)


def test_corrected_mode_without_dealing_is_parity_in_groups() -> None:
    totals = []
    for mode, groups in (("parity", 4), ("corrected", 1)):
        torch.manual_seed(0)
        objective = SeCo(lambda: Small(grouped(4)), dim=6, queue=32, mode=mode, shuffled_groups=groups)
        totals.append(objective(views(4)).total)
    assert torch.equal(*totals)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"temperature": 0.0}, "temperature must be above 0"),
        ({"momentum": 1.0}, "momentum must be in"),
        ({"mode": "fast"}, "mode must be parity or corrected"),
        ({"shuffled_groups": 0}, "shuffled_groups must be at least 1"),
        ({"mode": "corrected"}, "groups of all samples"),
        ({"queue": 0}, "at least 1"),
    ],
)
def test_settings_that_cannot_be_meant_are_refused(settings: dict[str, object], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        SeCo(Small, dim=6, **{"queue": 32, **settings})


def test_batches_that_do_not_fit_are_refused(seco: SeCo) -> None:
    with pytest.raises(ValueError, match="40 samples but the queue holds 32"):
        seco(views(4, samples=40))
        seco.after_step()
    with pytest.raises(ValueError, match="takes 4 views, got 2"):
        seco(views(2))
    corrected = SeCo(lambda: Small(grouped(4)), dim=6, queue=32, mode="corrected")
    with pytest.raises(ValueError, match="must be a multiple of 16, got 8"):
        corrected(views(4, samples=8))
    with pytest.raises(TypeError, match=r"Linear has no number of features"):
        SeCo(lambda: nn.Linear(3, 3), queue=32)


def test_bf16_autocast_keeps_the_loss_near_and_in_float32(seco: SeCo) -> None:
    other, shown = copy.deepcopy(seco), views(4)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = seco(shown)
    assert loss.total.dtype == torch.float32
    loss.total.backward()
    assert loss.total.item() == pytest.approx(other(shown).total.item(), abs=0.1)
    assert seco.encoder[0].weight.grad is not None


def test_a_compiled_step_is_the_same_and_compiled_once(seco: SeCo) -> None:
    """With a back end that runs the graphs as they are: the queue's pointer makes no new ones."""
    other, graphs = copy.deepcopy(seco), []

    def as_it_is(graph: torch.fx.GraphModule, _inputs: list[Tensor]) -> Callable[..., object]:
        graphs.append(graph)
        return graph.forward

    compiled, counts = torch.compile(seco, backend=as_it_is, dynamic=False), []
    for seed in range(5):
        shown = views(4, seed=seed)
        torch.testing.assert_close(compiled(shown).total, other(shown).total)
        counts.append(len(graphs))
        seco.after_step()
        other.after_step()
    assert counts[0] >= 1
    assert set(counts) == {counts[0]}
    assert seco.queue.written == other.queue.written == 40


def test_a_few_steps_make_the_loss_fall() -> None:
    torch.manual_seed(0)
    objective = SeCo(lambda: resnet(18, 9, norm=grouped(4)), dim=16, queue=16, momentum=0.9, mode="corrected")
    assert isinstance(objective, Objective)
    assert isinstance(objective.encoder, Encoder)
    optimiser = torch.optim.SGD([p for p in objective.parameters() if p.requires_grad], lr=0.05)
    image, losses = torch.randn(16, 9, 32, 32), []
    for _ in range(6):
        objective.before_step()
        loss = objective([image + 0.05 * torch.randn_like(image) for _ in range(4)])
        optimiser.zero_grad()
        loss.total.backward()
        optimiser.step()
        objective.after_step()
        losses.append(loss.shown["loss_2"].item())
    assert losses[-1] < losses[0]


def test_an_objective_of_ones_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(HERE)
    torch.manual_seed(0)
    objective = load_object("own_mae:MaskedAutoencoder")(InputSpec(image_px=32))
    assert isinstance(objective, Objective)
    assert isinstance(objective.encoder, Encoder)
    optimiser = torch.optim.AdamW(objective.parameters(), lr=3e-3)
    image, losses = torch.randn(4, 9, 1, 1).expand(4, 9, 32, 32).contiguous(), []
    for _ in range(30):
        objective.before_step()
        loss = objective([image])
        optimiser.zero_grad()
        loss.total.backward()
        optimiser.step()
        objective.after_step()
        losses.append(loss.total.item())
    assert losses[-1] < 0.7 * losses[0]
    assert objective.encoder(image).shape == (4, objective.encoder.features)
    code = [line for line in (HERE / "own_mae.py").read_text().splitlines() if line.strip()]
    assert len(code) <= 75
