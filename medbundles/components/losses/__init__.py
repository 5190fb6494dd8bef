"""Losses that MONAI does not have."""

from medbundles.components.losses.adversarial import AdversarialLoss, feature_matching_loss
from medbundles.components.losses.false_negative_weighted_dice import FalseNegativeWeightedDiceLoss
from medbundles.components.losses.masked_reconstruction import MaskedReconstructionLoss
from medbundles.components.losses.region_cross_entropy import RegionCrossEntropyLoss
from medbundles.components.losses.region_generalized_dice import RegionGeneralizedDiceLoss

__all__ = [
    "AdversarialLoss",
    "FalseNegativeWeightedDiceLoss",
    "MaskedReconstructionLoss",
    "RegionCrossEntropyLoss",
    "RegionGeneralizedDiceLoss",
    "feature_matching_loss",
]
