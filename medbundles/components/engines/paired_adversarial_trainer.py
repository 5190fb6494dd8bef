"""A GAN trainer for paired images, whose discriminator judges slices."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from monai.utils.enums import CommonKeys as Keys
from torch import Tensor

from medbundles.components.engines.target_adversarial_trainer import (
    Judgement,
    Output,
    TargetAdversarialTrainer,
)
from medbundles.components.networks.slice_discriminator import select_slices


class PairedAdversarialTrainer(TargetAdversarialTrainer):
    """Train a generator to turn images into their targets, and a slice discriminator to tell the two apart.

    The steps, what the output holds and what is mended of MONAI's trainer: :class:`TargetAdversarialTrainer`. Real and
    synthetic volumes are judged at the same slices, those without tissue left out. With ``adversarial_weight`` 0 no
    discriminator runs and the training is a supervised one.

    Source: DeepAnat (Li et al., Medical Image Analysis 86, 2023).

    Args:
        slices_per_axis: slices of each block and axis that are judged; None judges all with tissue.
        minimum_tissue: share of a slice that must be tissue for it to be judged.
        mask_key: the batch's key of the tissue mask ``(B, 1, H, W, D)``; without one, tissue is where the target is
            not 0.
        **kwargs: see :class:`TargetAdversarialTrainer`; ``recon_loss_function`` is called as ``(fakes, targets,
            mask)``, mask None where the batch has none, ``d_network`` is a
            :class:`~medbundles.components.networks.SliceDiscriminator`.

    Raises:
        ConfigurationError: a number out of its range.
    """

    def __init__(
        self,
        *,
        slices_per_axis: int | None = None,
        minimum_tissue: float = 0.05,
        mask_key: str = "mask",
        **kwargs: Any,
    ) -> None:
        self.slices_per_axis = slices_per_axis
        self.minimum_tissue = minimum_tissue
        self.mask_key = mask_key
        super().__init__(**kwargs)

    def _judgement(self, engine: Any, batch: Mapping[str, Any], output: Output) -> Judgement:
        mask = self._mask(engine, batch, output)
        tissue = (output[Keys.LABEL] != 0).any(dim=1, keepdim=True) if mask is None else mask
        slices = select_slices(tissue, self.minimum_tissue, self.slices_per_axis)
        condition = output[Keys.IMAGE] if self.conditional else None
        return Judgement(
            judge=lambda network, volume: engine.d_inferer(volume, network, slices, condition),
            worthwhile=any(len(chosen) for chosen in slices),
        )

    def _reconstruction(self, engine: Any, batch: Mapping[str, Any], output: Output) -> Tensor:
        mask = self._mask(engine, batch, output)
        loss: Tensor = engine.state.recon_loss_function(output[Keys.PRED], output[Keys.LABEL], mask)
        return loss

    def _mask(self, engine: Any, batch: Mapping[str, Any], output: Output) -> Tensor | None:
        mask = batch.get(self.mask_key)
        if not isinstance(mask, Tensor):
            return None
        return mask.to(output[Keys.IMAGE].device, non_blocking=engine.non_blocking)
