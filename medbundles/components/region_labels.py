"""Label maps as regions that may hold each other, and back: pure functions on tensors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import torch
from monai.data.meta_tensor import MetaTensor
from torch import Tensor

from medbundles.errors import ConfigurationError

Regions = Mapping[str, Sequence[int]]
# Name of each label value; in JSON files values are text.
Labels = Mapping[int, str] | Mapping[str, str]
Numbering = Literal["2023", "2021", 2023, 2021]

# The numbers of the BraTS challenges until 2021 skip 3 (a class that was given up); since 2023 they do not.
BRATS_2021 = {"ncr": 1, "ed": 2, "et": 4}
BRATS_2023 = {"ncr": 1, "ed": 2, "et": 3}


def labels_to_regions(label: Tensor, regions: Regions) -> Tensor:
    """Return one channel a region: 1 where the label's value is one of the region's, else 0.

    Args:
        label: ``(1, ...)``, whole numbers.
        regions: the label values that make each region, ``{"WT": [1, 2, 3], "TC": [1, 3], "ET": [3]}``.

    Returns:
        ``(R, ...)`` uint8 in the order of ``regions``; a ``MetaTensor`` keeps its meta data.

    Raises:
        ConfigurationError: the label has several channels, or there is no region.
    """
    if label.ndim < 2 or label.shape[0] != 1 or not regions:
        raise ConfigurationError(
            f"a label map of one channel and at least one region are needed, found {tuple(label.shape)} "
            f"and {len(regions)} region(s)"
        )
    plain = _plain(label)[0]
    result = torch.empty((len(regions), *plain.shape), dtype=torch.uint8, device=plain.device)
    for channel, values in zip(result, regions.values(), strict=True):
        inside = torch.zeros_like(plain, dtype=torch.bool)
        for value in values:
            inside |= plain == value
        channel.copy_(inside)
    return _like(result, label)


def regions_to_labels(
    binary: Tensor,
    labels: Labels,
    regions: Regions,
    numbering: Mapping[int, int] | None = None,
) -> Tensor:
    """Return one label map of regions: each voxel has the label of the innermost region that it lies in.

    Regions are painted one over the other, the larger first, each with the label that no region inside of it has (of
    several the lowest). They must lie in each other or apart; then what :func:`labels_to_regions` makes of any label
    map comes back as it was, if the regions tell its labels apart. Of regions with equally many labels that share a
    voxel the first one wins.

    Args:
        binary: ``(R, ...)`` in the order of ``regions``; a voxel belongs to a region where it is not 0.
        labels: name of each label value.
        regions: label values that make each region.
        numbering: which number is written for each label value (:func:`label_numbers`); None writes the value itself.

    Returns:
        ``(1, ...)`` uint8, 0 where no region is; a ``MetaTensor`` keeps its meta data.

    Raises:
        ConfigurationError: another number of channels than of regions, or a region of values that ``labels`` lacks.
    """
    if len(binary) != len(regions):
        raise ConfigurationError(f"{len(binary)} channel(s) of regions, expected {len(regions)}: {', '.join(regions)}")
    known = {int(value) for value in labels}
    if unknown := sorted({int(value) for values in regions.values() for value in values} - known):
        raise ConfigurationError(f"regions name the label values {unknown}, labels has {sorted(known)}")
    painted = own_labels(regions)
    channels = dict(zip(regions, _plain(binary), strict=True))
    result = torch.zeros(binary.shape[1:], dtype=torch.uint8, device=binary.device)
    for name in painting_order(regions):
        value = painted[name] if numbering is None else numbering[painted[name]]
        result.masked_fill_(channels[name] != 0, int(value))
    return _like(result[None], binary)


def own_labels(regions: Regions) -> dict[str, int]:
    """Return for each region the lowest label value that no region inside of it has; of all its values if none is."""
    sets = value_sets(regions)
    own = {}
    for name, values in sets.items():
        inner: set[int] = set().union(*(other for other in sets.values() if other < values))
        own[name] = min(values - inner or values)
    return own


def painting_order(regions: Regions) -> list[str]:
    """Return the regions' names, those with more labels first; of equals the first one comes last, on top."""
    sets = value_sets(regions)
    return sorted(reversed(list(sets)), key=lambda name: -len(sets[name]))


def value_sets(regions: Regions) -> dict[str, frozenset[int]]:
    """Return each region's label values as a set.

    Raises:
        ConfigurationError: a region has none.
    """
    sets = {name: frozenset(int(value) for value in values) for name, values in regions.items()}
    if empty := [name for name, values in sets.items() if not values]:
        raise ConfigurationError(f"regions without label values: {', '.join(empty)}")
    return sets


def label_numbers(
    choice: Numbering | Mapping[int, int] | Mapping[str, int] | None,
    labels: Labels,
) -> dict[int, int]:
    """Return the number that is written for each label value.

    Args:
        choice: ``2023`` (necrotic core 1, edema 2, enhancing 3: as prepared folders have it), ``2021`` (enhancing is
            4, as in the challenges until 2021), a number for each label value, or None for the values themselves.
        labels: name of each label value, ``{1: "ncr", 2: "ed", 3: "et"}``; the background's 0 stays what it is.

    Raises:
        ConfigurationError: an unknown choice; ``2021`` with labels other than these; numbers that are missing, not
            from 1 to 255, or given twice.
    """
    values = {int(value): name for value, name in labels.items() if int(value) != 0}
    if choice is None or str(choice) == "2023":
        return {value: value for value in values}
    if str(choice) == "2021":
        if values != {number: name for name, number in BRATS_2023.items()}:
            raise ConfigurationError(f"label_numbering 2021 is for the labels 1 ncr, 2 ed and 3 et, found {values}")
        return {value: BRATS_2021[name] for value, name in values.items()}
    if not isinstance(choice, Mapping):
        raise ConfigurationError(f"label_numbering must be 2023, 2021 or a number for each label, found {choice!r}")
    numbers = {int(value): int(number) for value, number in choice.items()}
    if set(numbers) != set(values) or len(set(numbers.values())) != len(numbers):
        raise ConfigurationError(f"label_numbering needs one number for each of the labels {values}, found {numbers}")
    if not all(1 <= number <= 255 for number in numbers.values()):
        raise ConfigurationError(f"label_numbering must have numbers from 1 to 255, found {numbers}")
    return numbers


def _plain(tensor: Tensor) -> Tensor:
    return tensor.as_tensor() if isinstance(tensor, MetaTensor) else tensor


def _like(result: Tensor, source: Tensor) -> Tensor:
    return MetaTensor(result).copy_meta_from(source) if isinstance(source, MetaTensor) else result
