"""Engines and what they call around each step."""

from medbundles.components.engines.augmented_batch import AugmentedBatch

__all__ = ["AugmentedBatch"]
