"""Mirror training blocks along the axes that allow it."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

from monai.transforms import Randomizable, Transform

from medbundles.errors import ConfigurationError


class RandAxisMirrord(Randomizable, Transform):
    """Mirror volumes ``(C, H, W, D)`` along each of some axes, with some probability each.

    MONAI's ``RandFlipd`` takes all its axes at once, ``RandAxisFlipd`` one of all there are.

    Args:
        keys: volumes, mirrored alike.
        axes: 0 (left to right in RAS), 1, 2; none leaves everything as it is.
        probability: of each axis.

    Raises:
        ConfigurationError: axes that are not different numbers from 0 to 2, or a probability outside of 0 to 1.
    """

    def __init__(self, keys: Sequence[str], axes: Sequence[int] = (0,), probability: float = 0.5) -> None:
        super().__init__()
        if len(set(axes)) != len(axes) or any(axis not in (0, 1, 2) for axis in axes) or not 0 <= probability <= 1:
            found = f"{list(axes)} and {probability}"
            raise ConfigurationError(f"expected different axes from 0 to 2 and a probability, found {found}")
        self.keys = (keys,) if isinstance(keys, str) else tuple(keys)
        self.axes = tuple(axes)
        self.probability = probability

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Return the item, mirrored or not."""
        item = dict(data)
        chosen = [axis + 1 for axis in self.axes if self.R.random() < self.probability]
        if chosen:
            for key in self.keys:
                item[key] = item[key].flip(chosen)
        return item
