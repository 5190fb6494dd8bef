"""Label maps become regions and come back."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from monai.data.meta_tensor import MetaTensor

from medbundles.components.region_labels import label_numbers, labels_to_regions, regions_to_labels
from medbundles.errors import ConfigurationError

LABELS = {1: "ncr", 2: "ed", 3: "et"}
NESTED = {"WT": [1, 2, 3], "TC": [1, 3], "ET": [3]}
TISSUES = {"csf": [1], "gm": [2], "wm": [3]}


@pytest.mark.parametrize("regions", [NESTED, TISSUES, dict(reversed(NESTED.items()))], ids=["nested", "tissues", "any"])
@given(values=st.lists(st.integers(0, 3), min_size=1, max_size=40))
@settings(deadline=None, max_examples=30)
def test_every_label_map_comes_back_from_its_regions(regions: dict[str, list[int]], values: list[int]) -> None:
    label = torch.tensor(values, dtype=torch.uint8).reshape(1, -1, 1, 1)
    assert torch.equal(regions_to_labels(labels_to_regions(label, regions), LABELS, regions), label)


@given(bits=st.lists(st.tuples(st.booleans(), st.booleans(), st.booleans()), min_size=1, max_size=40))
@settings(deadline=None, max_examples=30)
def test_nested_regions_come_back_from_their_label_map(bits: list[tuple[bool, ...]]) -> None:
    nested = torch.tensor(np.cumprod(bits, axis=1).T.astype(np.uint8))[:, :, None, None]
    assert torch.equal(labels_to_regions(regions_to_labels(nested, LABELS, NESTED), NESTED), nested)


def test_regions_have_the_order_of_their_names_and_the_meta_data_of_the_label() -> None:
    label = MetaTensor(torch.tensor([0, 1, 2, 3]).reshape(1, 4, 1, 1), affine=torch.diag(torch.tensor([2.0, 3, 4, 1])))
    regions = labels_to_regions(label, NESTED)
    assert regions[:, :, 0, 0].tolist() == [[0, 1, 1, 1], [0, 1, 0, 1], [0, 0, 0, 1]]
    assert isinstance(regions, MetaTensor)
    assert torch.equal(regions.affine, label.affine)
    assert regions.dtype == torch.uint8


def test_an_inner_region_wins_over_what_holds_it_and_over_nothing() -> None:
    binary = torch.tensor([[1, 0, 1], [0, 1, 1], [1, 0, 0]]).reshape(3, 3, 1, 1)
    assert regions_to_labels(binary, LABELS, NESTED).flatten().tolist() == [3, 1, 1]


def test_of_exclusive_regions_that_overlap_the_first_wins() -> None:
    binary = torch.ones(3, 1, 1, 1)
    assert regions_to_labels(binary, LABELS, TISSUES).item() == 1


def test_one_region_of_several_labels_is_written_with_the_lowest() -> None:
    assert regions_to_labels(torch.ones(1, 1, 1, 1), LABELS, {"WT": [2, 1, 3]}).item() == 1


def test_enhancing_tumor_is_4_in_the_numbering_of_2021() -> None:
    label = torch.tensor([0, 1, 2, 3]).reshape(1, 4, 1, 1)
    numbers = label_numbers(2021, LABELS)
    written = regions_to_labels(labels_to_regions(label, NESTED), LABELS, NESTED, numbers)
    assert written.flatten().tolist() == [0, 1, 2, 4]


def test_labels_of_a_json_file_are_numbered_like_those_of_a_configuration() -> None:
    text = {str(value): name for value, name in LABELS.items()}
    assert label_numbers("2021", text) == label_numbers(2021, LABELS) == {1: 1, 2: 2, 3: 4}
    assert label_numbers({"1": 10, "2": 20, "3": 30}, text) == {1: 10, 2: 20, 3: 30}
    assert label_numbers("2023", text) == label_numbers(None, text) == {1: 1, 2: 2, 3: 3}


@pytest.mark.parametrize(
    ("choice", "labels", "said"),
    [
        (2022, LABELS, "must be 2023, 2021 or"),
        (2021, {1: "csf", 2: "gm", 3: "wm"}, "is for the labels 1 ncr"),
        ({1: 1, 2: 2}, LABELS, "one number for each"),
        ({1: 1, 2: 1, 3: 2}, LABELS, "one number for each"),
        ({1: 0, 2: 1, 3: 2}, LABELS, "from 1 to 255"),
    ],
)
def test_a_numbering_that_cannot_be_meant_is_refused(choice: object, labels: dict[int, str], said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        label_numbers(choice, labels)


def test_a_label_of_several_channels_is_no_label_map() -> None:
    with pytest.raises(ConfigurationError, match="one channel"):
        labels_to_regions(torch.zeros(2, 3, 3, 3), NESTED)


@pytest.mark.parametrize(
    ("channels", "regions", "said"),
    [(2, NESTED, "expected 3: WT, TC, ET"), (1, {"WT": [1, 4]}, r"\[4\]"), (1, {"WT": []}, "without label values: WT")],
)
def test_regions_that_do_not_fit_are_refused(channels: int, regions: dict[str, list[int]], said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        regions_to_labels(torch.zeros(channels, 2, 2, 2), LABELS, regions)


def test_the_backgrounds_name_has_no_say_in_numbering() -> None:
    named = {"0": "background", "1": "ncr", "2": "ed", "3": "et"}
    assert label_numbers("2021", named) == {1: 1, 2: 2, 3: 4}
