"""Intensities as a plan says: a window of HU for CT, standard deviations for what has no unit."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import torch
from monai.data.meta_tensor import MetaTensor
from monai.transforms import Transform
from torch import Tensor

from medbundles.checks.notices import notice
from medbundles.errors import ConfigurationError, Finding
from medbundles.io.plan import is_normalization

# Percentiles of every so many voxels are those of all, and much faster.
PERCENTILE_SAMPLE = 1_000_000


class NormalizeChannelsd(Transform):
    """Bring the channels of an image ``(C, H, W, D)`` to about -1 to 1, each by its entry of a plan.

    ``{"kind": "CT", "window_hu": [low, high]}`` cuts off what lies outside of the window and maps the window to -1 to
    1. ``{"kind": "MR", "percentile": 99.9}`` cuts off above that percentile of the image's values that are not 0, and
    subtracts their mean and divides by their standard deviation; voxels of exactly 0 count as surroundings and become
    what 0 becomes. A channel of one value becomes 0, with a notice (NII011).

    Args:
        normalization: entry of each channel, in their order.
        key: image.

    Raises:
        ConfigurationError: an entry that cannot be meant.
    """

    def __init__(self, normalization: Mapping[str, Mapping[str, Any]], key: str = "image") -> None:
        super().__init__()
        self.normalization = {name: dict(entry) for name, entry in normalization.items()}
        self.key = key
        wrong = [f"{name}: {entry}" for name, entry in self.normalization.items() if not is_normalization(entry)]
        if wrong or not self.normalization:
            expected = "kind CT with a rising window_hu, or kind MR with a percentile above 50 up to 100"
            raise ConfigurationError(f"normalization expects {expected}; found {'; '.join(wrong) or 'no channel'}")

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Return the item with its image normalized, float32.

        Raises:
            ConfigurationError: an image with another number of channels.
        """
        item = dict(data)
        image = item[self.key]
        if len(image) != len(self.normalization):
            found = f"{len(image)} channels, normalization has {len(self.normalization)}"
            raise ConfigurationError(f"case {item.get('case', 'unknown')}: {found}")
        plain = image.as_tensor() if isinstance(image, MetaTensor) else image
        result = torch.empty_like(plain, dtype=torch.float32)
        for number, (name, entry) in enumerate(self.normalization.items()):
            channel = plain[number].to(torch.float32)
            scaled = _windowed(channel, *entry["window_hu"]) if entry["kind"] == "CT" else _scored(channel, entry)
            if scaled is None:
                scaled = torch.zeros_like(channel)
                message = f"channel {name} has one value everywhere"
                notice(Finding("NII011", "warning", message, case=str(item["case"]) if "case" in item else None))
            result[number] = scaled
        if isinstance(image, MetaTensor):
            result = MetaTensor(result).copy_meta_from(image)
        return item | {self.key: result}


def _windowed(channel: Tensor, low: float, high: float) -> Tensor:
    return (channel.clamp(low, high) - (low + high) / 2) / ((high - low) / 2)


def _scored(channel: Tensor, entry: Mapping[str, Any]) -> Tensor | None:
    """Return the z-scores of a channel, None where it has no spread."""
    known = channel[channel != 0]
    if not len(known):
        return None
    sample = known[:: max(1, len(known) // PERCENTILE_SAMPLE)]
    limit = torch.quantile(sample[:PERCENTILE_SAMPLE], entry["percentile"] / 100)
    known = known.clamp(max=float(limit))
    spread, middle = torch.std_mean(known, correction=0)
    if not spread > 1e-6 * middle.abs():
        return None
    return (channel.clamp(max=float(limit)) - middle) / spread
