"""What is taken for a brain alone is judged before anything is made of it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from medbundles.checks.cases import BRAIN, check_cases
from medbundles.errors import DataError, Finding
from medbundles.io.cases import find_cases
from medbundles.io.images import write_volume

CONTRASTS = ["t1n", "t2f"]


def brain(**changes: float) -> np.ndarray:
    image = np.zeros((20, 20, 20), np.float32)
    image[4:16, 4:16, 4:16] = np.random.default_rng(0).uniform(50, 100, (12, 12, 12))
    return image * changes.get("scale", 1) + changes.get("shift", 0)


def warnings(folder: Path, image: np.ndarray, edge: float = 1.0) -> list[Finding]:
    for name in CONTRASTS:
        write_volume(folder / f"anna_{name}.nii.gz", image, np.diag([edge, edge, edge, 1]))
    cases = find_cases(folder, CONTRASTS, True)
    return check_cases(cases, channels=CONTRASTS, modality=BRAIN, missing_contrasts=True)[1]


def test_a_stripped_brain_is_nothing_to_speak_of(tmp_path: Path) -> None:
    assert [each.code for each in warnings(tmp_path, brain()) if each.level == "warning"] == []


def test_a_head_with_its_skull_is_warned_of_by_file(tmp_path: Path) -> None:
    found = warnings(tmp_path, brain(shift=10))
    assert [(each.code, each.file) for each in found if each.level == "warning"] == [
        ("NII018", "anna_t1n.nii.gz"),
        ("NII018", "anna_t2f.nii.gz"),
    ]


def test_an_inverted_image_is_warned_of(tmp_path: Path) -> None:
    assert {each.code for each in warnings(tmp_path, brain(scale=-1)) if each.level == "warning"} == {"NII019"}


def test_voxels_no_brain_is_seen_on_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"NII017.*20 x 20 x 20 mm, expected at most 10 mm"):
        warnings(tmp_path, brain(), edge=20.0)
