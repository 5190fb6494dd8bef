"""How far a synthetic volume is from the real one, inside a mask."""

from __future__ import annotations

import torch
from monai.losses import SSIMLoss
from torch import Tensor, nn

from medbundles.errors import ConfigurationError


class MaskedReconstructionLoss(nn.Module):
    """Mean absolute error over the mask's voxels, and on request the structural dissimilarity.

    With prediction ``p``, target ``t`` and mask ``m``::

        loss = sum(|p - t| * m) / sum(m) + ssim_weight * (1 - SSIM(p * m, t * m))

    ``monai.losses.MaskedLoss`` divides by all voxels, so that the same error counts less in blocks with less tissue.

    Source: the masked mean absolute error of DeepAnat (Li et al., Medical Image Analysis 86, 2023).

    Args:
        ssim_weight: factor of the structural dissimilarity; 0 leaves it out.
        data_range: range of the target's values, for SSIM (six standard deviations of a z-scored T1w).
        window: edge of SSIM's Gaussian window in voxels.

    Raises:
        ConfigurationError: a negative weight.
    """

    def __init__(self, ssim_weight: float = 0.0, data_range: float = 6.0, window: int = 7) -> None:
        super().__init__()
        if ssim_weight < 0:
            raise ConfigurationError(f"ssim_weight must not be negative, found {ssim_weight}")
        self.ssim_weight = ssim_weight
        self.ssim = SSIMLoss(spatial_dims=3, data_range=data_range, win_size=window)

    def forward(self, prediction: Tensor, target: Tensor, mask: Tensor | None = None) -> Tensor:
        """Return the loss as a scalar in single precision.

        Args:
            prediction: ``(B, C, H, W, D)``.
            target: the same shape.
            mask: ``(B, 1, H, W, D)``, 0 or 1; None counts every voxel. An empty mask costs nothing.

        Raises:
            ConfigurationError: the shapes differ.
        """
        if prediction.shape != target.shape:
            shapes = f"{tuple(prediction.shape)} and {tuple(target.shape)}"
            raise ConfigurationError(f"prediction and target differ in shape: {shapes}")
        ours, theirs = prediction.float(), target.float()
        inside = torch.ones_like(theirs[:, :1]) if mask is None else (mask > 0).float()
        voxels = inside.sum().clamp(min=1.0) * ours.shape[1]
        loss = ((ours - theirs).abs() * inside).sum() / voxels
        if self.ssim_weight:
            loss = loss + self.ssim_weight * self.ssim(ours * inside, theirs * inside)
        return loss
