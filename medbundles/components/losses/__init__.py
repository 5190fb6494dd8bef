"""Losses that MONAI does not have."""

from medbundles.components.losses.adversarial import AdversarialLoss, feature_matching_loss
from medbundles.components.losses.false_negative_weighted_dice import FalseNegativeWeightedDiceLoss
from medbundles.components.losses.masked_reconstruction import MaskedReconstructionLoss

__all__ = ["AdversarialLoss", "FalseNegativeWeightedDiceLoss", "MaskedReconstructionLoss", "feature_matching_loss"]
