"""A data set as others published it: channels, labels and cases, before anything is prepared."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class RawCase:
    """One case of a data set in the layout of the Decathlon or of nnU-Net.

    Attributes:
        name: its identifier, without channel and ending.
        images: one file a channel, in the channels' order, or a single one that holds them all (4D).
        label: its label file; ``None`` for test images without one.
        testing: whether it belongs to the labeled test part.
    """

    name: str
    images: tuple[Path, ...]
    label: Path | None
    testing: bool


@dataclass(frozen=True)
class RawDataset:
    """A data set in the layout of the Decathlon or of nnU-Net.

    Attributes:
        name: what it calls itself.
        channels: channel names in order.
        labels: values by label name, background included; a region has several.
        cases: its cases, sorted by name, training before testing.
    """

    name: str
    channels: tuple[str, ...]
    labels: Mapping[str, tuple[int, ...]]
    cases: tuple[RawCase, ...]

    @property
    def label_values(self) -> set[int]:
        """Every value that a label file may hold."""
        return {value for values in self.labels.values() for value in values}
