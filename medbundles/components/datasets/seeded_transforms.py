"""Random transforms that depend on a sample's own seed."""

from __future__ import annotations

from typing import Any

import numpy as np
from monai.transforms import Compose, Randomizable
from monai.utils import MAX_SEED


class SeededTransforms:
    """Apply a ``Compose`` as if ``Compose.set_random_state(seed)`` came before every call, for less.

    MONAI makes a new generator for the ``Compose`` itself and takes the seeds of its random transforms from it, which
    costs more than many a crop; here one generator is seeded again. The numbers drawn are the same.

    Args:
        transform: the transforms; what else than a ``Compose`` is given is applied without a seed.
    """

    def __init__(self, transform: Any) -> None:
        self.transform = transform
        parts = transform.transforms if isinstance(transform, Compose) else ()
        self._random = [part for part in parts if isinstance(part, Randomizable)]
        self._seeds = np.random.RandomState(0)

    def __call__(self, item: Any, seed: int) -> Any:
        """Return the transformed item; the same item and seed give the same."""
        self._seeds.seed(seed % MAX_SEED)
        for part in self._random:
            part.set_random_state(seed=int(self._seeds.randint(MAX_SEED, dtype="uint32")))
        return self.transform(item)
