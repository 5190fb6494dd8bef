"""Losses that MONAI does not have."""

from medbundles.components.losses.false_negative_weighted_dice import FalseNegativeWeightedDiceLoss

__all__ = ["FalseNegativeWeightedDiceLoss"]
