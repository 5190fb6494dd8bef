"""Engines and what they call around each step."""

from medbundles.components.engines.augmented_batch import AugmentedBatch
from medbundles.components.engines.paired_adversarial_trainer import PairedAdversarialTrainer
from medbundles.components.engines.region_adversarial_trainer import RegionAdversarialTrainer
from medbundles.components.engines.schedules import cosine_schedule
from medbundles.components.engines.target_adversarial_trainer import TargetAdversarialTrainer

__all__ = [
    "AugmentedBatch",
    "PairedAdversarialTrainer",
    "RegionAdversarialTrainer",
    "TargetAdversarialTrainer",
    "cosine_schedule",
]
