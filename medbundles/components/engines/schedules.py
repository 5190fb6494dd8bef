"""Learning-rate schedules whose state does not outlive the configuration."""

from __future__ import annotations

import math

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

from medbundles.errors import ConfigurationError


def cosine_schedule(
    optimizer: Optimizer, max_epochs: int, warmup_epochs: int = 0, final_fraction: float = 0.01
) -> LambdaLR:
    """Return a schedule, stepped once an epoch, that warms up linearly and then falls as half a cosine.

    ``CosineAnnealingLR`` and MONAI's ``WarmupCosineSchedule`` save their length: resumed with more epochs they go on
    with the old one and the learning rate rises again. Here only the epoch is saved.

    Args:
        optimizer: whose learning rate to scale.
        max_epochs: length of training.
        warmup_epochs: epochs until the full learning rate.
        final_fraction: share of the learning rate left in the last epoch.

    Raises:
        ConfigurationError: a length below one or a warm-up longer than the training.
    """
    if max_epochs < 1 or not 0 <= warmup_epochs <= max_epochs:
        raise ConfigurationError(f"max_epochs {max_epochs} and warmup_epochs {warmup_epochs} do not fit together")

    def scale(epoch: int) -> float:
        if epoch < warmup_epochs:
            return (epoch + 1) / (warmup_epochs + 1)
        progress = min((epoch - warmup_epochs) / max(max_epochs - warmup_epochs, 1), 1.0)
        return final_fraction + (1 - final_fraction) * 0.5 * (1 + math.cos(math.pi * progress))

    return LambdaLR(optimizer, scale)
