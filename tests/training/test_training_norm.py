"""Batch norm in groups against plain batch norm of each group."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from ssl4eco_training.norm import GroupedBatchNorm2d, grouped, norm_group
from ssl4eco_training.resnet import resnet


def images(count: int) -> torch.Tensor:
    return torch.randn(count, 5, 3, 4, generator=torch.Generator().manual_seed(count)) * 3 + 1


def test_each_group_is_normed_by_itself_with_its_gradient() -> None:
    x, y = images(12).requires_grad_(), images(12).requires_grad_()
    norm, plain = GroupedBatchNorm2d(5, 4), nn.BatchNorm2d(5)
    got, wanted = norm(x), torch.cat([plain(part) for part in y.split(4)])
    torch.testing.assert_close(got, wanted)
    weights = torch.randn_like(got)
    (got * weights).sum().backward()
    (wanted * weights).sum().backward()
    torch.testing.assert_close(x.grad, y.grad)
    torch.testing.assert_close(norm.weight.grad, plain.weight.grad)


def test_running_statistics_move_by_the_mean_of_the_groups() -> None:
    norm, x = GroupedBatchNorm2d(5, 4), images(12)
    norm(x)
    means = torch.stack([part.mean(dim=(0, 2, 3)) for part in x.split(4)])
    variances = torch.stack([part.transpose(0, 1).flatten(1).var(dim=1) for part in x.split(4)])
    torch.testing.assert_close(norm.running_mean, 0.1 * means.mean(dim=0))
    torch.testing.assert_close(norm.running_var, 0.9 + 0.1 * variances.mean(dim=0))
    assert norm.num_batches_tracked == 1


def test_one_group_and_eval_are_plain_batch_norm() -> None:
    norm, plain, x = GroupedBatchNorm2d(5, 6), nn.BatchNorm2d(5), images(6)
    torch.testing.assert_close(norm(x), plain(x))
    torch.testing.assert_close(norm.state_dict(), plain.state_dict())
    torch.testing.assert_close(norm.eval()(images(7)), plain.eval()(images(7)))


def test_channels_last_stays() -> None:
    x = images(8).contiguous(memory_format=torch.channels_last)
    assert GroupedBatchNorm2d(5, 4)(x).is_contiguous(memory_format=torch.channels_last)


def test_a_batch_that_is_no_multiple_is_refused() -> None:
    with pytest.raises(ValueError, match="10 samples cannot be parted into batch norm groups of 4"):
        GroupedBatchNorm2d(5, 4)(images(10))
    with pytest.raises(ValueError, match="group must be at least 1"):
        GroupedBatchNorm2d(5, 0)


def test_group_of_an_encoder() -> None:
    assert norm_group(resnet(18, 3, norm=grouped(16))) == 16
    assert norm_group(nn.Sequential(nn.Linear(2, 2), nn.LayerNorm(2))) is None
    with pytest.raises(ValueError, match="groups of all samples"):
        norm_group(resnet(18, 3))
    with pytest.raises(ValueError, match="groups of 4, 8"):
        norm_group(nn.Sequential(GroupedBatchNorm2d(2, 4), GroupedBatchNorm2d(2, 8)))
