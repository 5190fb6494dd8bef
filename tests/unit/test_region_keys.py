"""Contrasts, labels and regions that fit each other, and those that do not."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from medbundles.checks.region_keys import check_generator, check_label_names, check_regions
from medbundles.errors import ConfigurationError

LABELS = {"1": "ncr", "2": "ed", "3": "et"}
REGIONS = {"WT": [1, 2, 3], "TC": [1, 3], "ET": [3]}


@pytest.mark.parametrize(
    ("contrasts", "labels", "regions"),
    [
        (["t1n", "t1c", "t2w", "t2f"], LABELS, REGIONS),
        (["dwi", "flair"], {"1": "lesion"}, {"lesion": [1]}),
        (["t1", "t2"], {"1": "csf", "2": "gm", "3": "wm"}, {"csf": [1], "gm": [2], "wm": [3]}),
    ],
    ids=["nested", "one lesion", "exclusive tissues"],
)
def test_what_fits_passes(contrasts: list[str], labels: dict[str, str], regions: dict[str, list[int]]) -> None:
    assert check_regions(contrasts, labels, regions) == []


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"contrasts": ["t1c", "t1c"]}, "contrasts is"),
        ({"contrasts": []}, "contrasts is"),
        ({"labels": {"0": "background", **LABELS}}, "whole numbers from 1"),
        ({"labels": {"1": "lesion", "2": "lesion", "3": "et"}}, "each once"),
        ({"labels": {}}, "a name for each label value"),
        ({"regions": {"WT": [1, 2, 4]}}, r"regions::WT has the values \[4\]"),
        ({"regions": {"WT": 3}}, "regions::WT is 3"),
        ({"regions": {"TC": [1, 3]}}, r"no region has the label values \[2\]"),
        ({"regions": {"A": [1, 2], "B": [2, 3]}}, r"regions A \[1, 2\] and B \[2, 3\] cross"),
        ({"regions": {}}, "regions is"),
    ],
)
def test_what_cannot_be_meant_is_refused_by_its_name(changed: dict[str, Any], said: str) -> None:
    options: dict[str, Any] = {"contrasts": ["t1c", "t2f"], "labels": LABELS, "regions": REGIONS} | changed
    with pytest.raises(ConfigurationError, match=said):
        check_regions(**options)


def test_everything_that_is_wrong_is_said_at_once() -> None:
    with pytest.raises(ConfigurationError) as refusal:
        check_regions([], LABELS, {"WT": [9]})
    assert len(refusal.value.findings) == 2


def test_the_generator_of_vox2vox_takes_stacked_contrasts() -> None:
    assert check_generator("Vox2Vox", "input", "3d") == []


def test_another_network_against_a_discriminator_may_fuse_as_it_likes() -> None:
    assert check_generator("UNet", "feature", "three_plane") == []


@pytest.mark.parametrize(("fusion", "view"), [("feature", "3d"), ("input", "three_plane")])
def test_a_fusion_that_vox2vox_does_not_have_is_refused(fusion: str, view: str) -> None:
    with pytest.raises(ConfigurationError, match=r"CFG002.*Vox2Vox"):
        check_generator("Vox2Vox", fusion, view)


@pytest.mark.parametrize(
    ("prepared", "said"),
    [
        ({"1": "ncr", "2": "ed", "3": "et"}, None),
        ({"1": "1", "2": "2"}, None),
        (None, None),
        ({"1": "core", "2": "ed"}, "prepared with the labels 1 core, not ncr"),
    ],
)
def test_names_of_other_labels_than_the_data_s_are_warned_of(tmp_path: Path, prepared: Any, said: str | None) -> None:
    (tmp_path / "fingerprint.json").write_text(json.dumps({"labels": prepared}))
    findings = check_label_names(tmp_path, LABELS)
    assert [each.code for each in findings] == ([] if said is None else ["NII009"])
    assert all(said and said in each.message for each in findings)


def test_a_folder_that_says_no_names_is_left_alone(tmp_path: Path) -> None:
    assert check_label_names(tmp_path, LABELS) == []
