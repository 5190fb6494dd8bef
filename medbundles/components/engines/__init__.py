"""Engines and what they call around each step."""

from medbundles.components.engines.augmented_batch import AugmentedBatch
from medbundles.components.engines.paired_adversarial_trainer import PairedAdversarialTrainer
from medbundles.components.engines.schedules import cosine_schedule

__all__ = ["AugmentedBatch", "PairedAdversarialTrainer", "cosine_schedule"]
