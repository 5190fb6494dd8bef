"""Engines and what they call around each step."""

from medbundles.components.engines.augmented_batch import AugmentedBatch
from medbundles.components.engines.schedules import cosine_schedule

__all__ = ["AugmentedBatch", "cosine_schedule"]
