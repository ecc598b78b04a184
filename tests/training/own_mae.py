"""An objective of one's own: a masked autoencoder (He et al. 2022) with a small ViT, as users write it.

Axes: N samples, C channels, L patches, V visible patches, P values of a patch, D features.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from ssl4eco_training.inputs import InputSpec
from ssl4eco_training.protocols import Loss
from ssl4eco_training.views import ViewPlan


def blocks(features: int, depth: int) -> nn.TransformerEncoder:
    layer = nn.TransformerEncoderLayer(
        features, 4, 2 * features, 0.0, "gelu", batch_first=True, norm_first=True
    )
    return nn.TransformerEncoder(layer, depth, enable_nested_tensor=False)


class ViT(nn.Module):
    def __init__(self, spec: InputSpec, patch_px: int = 8, features: int = 32) -> None:
        super().__init__()
        self.features, self.patch_px = features, patch_px
        self.embed = nn.Linear(spec.channels * patch_px**2, features)
        self.places = nn.Parameter(torch.randn((spec.image_px // patch_px) ** 2, features) * 0.02)
        self.blocks = blocks(features, 2)

    def patches(self, images_NCYX: Tensor) -> Tensor:
        return functional.unfold(images_NCYX, self.patch_px, stride=self.patch_px).mT

    def tokens(self, patches_NLP: Tensor) -> Tensor:
        return self.embed(patches_NLP) + self.places

    def forward(self, images_NCYX: Tensor) -> Tensor:
        return self.blocks(self.tokens(self.patches(images_NCYX))).mean(dim=1)


class MaskedAutoencoder(nn.Module):
    images = 1
    views = (ViewPlan(image=0, augment=False),)

    def __init__(self, spec: InputSpec, hidden: float = 0.75) -> None:
        super().__init__()
        self.encoder, self.hidden = ViT(spec), hidden
        features = self.encoder.features
        self.mask = nn.Parameter(torch.zeros(features))
        self.decoder = nn.Sequential(blocks(features, 1), nn.Linear(features, self.encoder.embed.in_features))

    def before_step(self) -> None:
        pass

    def after_step(self) -> None:
        pass

    def forward(self, views: Sequence[Tensor]) -> Loss:
        patches_NLP = self.encoder.patches(views[0])
        tokens_NLD = self.encoder.tokens(patches_NLP)
        order_NL1 = torch.rand_like(patches_NLP[..., 0]).argsort(dim=1)[..., None]
        visible_NV1 = order_NL1[:, : round(order_NL1.shape[1] * (1 - self.hidden))]
        seen_NVD = self.encoder.blocks(tokens_NLD.take_along_dim(visible_NV1, dim=1))
        filled_NLD = (self.mask + self.encoder.places).expand_as(tokens_NLD)
        filled_NLD = filled_NLD.scatter(1, visible_NV1.expand_as(seen_NVD), seen_NVD)
        errors_NL = (self.decoder(filled_NLD) - patches_NLP).square().mean(dim=-1)
        hidden_NL = torch.ones_like(errors_NL).scatter(1, visible_NV1[..., 0], 0.0)
        total = (errors_NL * hidden_NL).sum() / hidden_NL.sum()
        return Loss(total, {"error": total.detach()})
