"""A GAN trainer for segmentation: regions are what is real or synthetic."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from monai.utils.enums import CommonKeys as Keys
from torch import Tensor, nn

from medbundles.components.engines.target_adversarial_trainer import (
    Judgement,
    Output,
    TargetAdversarialTrainer,
)


class RegionAdversarialTrainer(TargetAdversarialTrainer):
    """Train a generator of regions, and a patch discriminator to tell an expert's regions from the generator's.

    The generator's loss is ``reconstruction_weight * recon_loss_function(logits, regions) + adversarial_weight *``
    the adversarial loss. The discriminator sees the image and the regions as one volume ``(B, C + R, H, W, D)``: the
    expert's as 0 and 1, the generator's as probabilities. Steps and output: :class:`TargetAdversarialTrainer`; the
    output's ``pred`` are logits, its ``fakes`` probabilities.

    Source: Vox2Vox (Cirillo et al., 2020): least squares, 5 x generalized Dice; the accuracy gate at 0.8 is that of its
    second implementation.

    Args:
        reconstruction_weight: lambda, the factor of the region loss.
        adversarial_weight: factor of the adversarial loss; 0 trains the generator alone.
        conditional: whether the discriminator sees the image; false shows it regions alone.
        **kwargs: see :class:`TargetAdversarialTrainer`; ``recon_loss_function`` takes logits and regions
            ``(B, R, H, W, D)``, ``d_network`` returns logits of patches or a list of feature maps with the logits last
            (:class:`monai.networks.nets.PatchDiscriminator`).

    Raises:
        ConfigurationError: a number out of its range.
    """

    def __init__(
        self,
        *,
        reconstruction_weight: float = 5.0,
        adversarial_weight: float = 1.0,
        conditional: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            reconstruction_weight=reconstruction_weight,
            adversarial_weight=adversarial_weight,
            conditional=conditional,
            **kwargs,
        )

    def _judgement(self, engine: Any, batch: Mapping[str, Any], output: Output) -> Judgement:
        image = output[Keys.IMAGE]

        def judge(network: nn.Module, regions: Tensor) -> tuple[list[Tensor], list[list[Tensor]]]:
            volume = torch.cat([image.to(regions.dtype), regions], dim=1) if self.conditional else regions
            answer = engine.d_inferer(volume, network)
            layers = list(answer) if isinstance(answer, list | tuple) else [answer]
            return layers[-1:], [layers[:-1]]

        return Judgement(judge)

    def _fakes(self, prediction: Tensor) -> Tensor:
        return prediction.float().sigmoid()
