"""DWI001 to DWI012 through the real command line: everything wrong with a data set is said in one run."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
from dwi_layout import B_VALUES, DWI_AFFINE, DWI_SHAPE, TinyHead, write_case, write_nifti

pytest.importorskip("dipy", reason="the extra dwi is not installed")

Change = Callable[[Path], None]


def write_b_values(case: Path, values: Any) -> None:
    np.savetxt(case / "dwi.bval", np.asarray(values)[None], fmt="%g")


def change_directions(case: Path, change: Callable[[Any], Any]) -> None:
    path = case / "dwi.bvec"
    np.savetxt(path, change(np.loadtxt(path)), fmt="%.7f")


def flat(directions: Any) -> Any:
    """Directions of one plane: no tensor can be told from them."""
    turned = directions * [[1], [1], [0]]
    length = np.linalg.norm(turned, axis=0)
    return turned / np.where(length > 0, length, 1)


def without_number(directions: Any) -> Any:
    directions[:, 4] = np.nan
    return directions


# What is told from the files beside the image and from headers, before anything is prepared.
HEADERS: dict[str, tuple[Change, tuple[str, ...]]] = {
    "DWI001": (lambda case: (case / "dwi.bvec").unlink(), ("dwi.bval", "dwi.bvec")),
    "DWI002": (lambda case: write_b_values(case, B_VALUES[:-2]), ("11", "13")),
    "DWI003": (lambda case: change_directions(case, lambda directions: 1.5 * directions), ("1.5",)),
    "DWI004": (lambda case: write_b_values(case, np.full(13, 1000)), ("b0",)),
    "DWI005": (lambda case: change_directions(case, without_number), ("4",)),
    "DWI006": (lambda case: change_directions(case, flat), ("condition",)),
    "DWI007": (lambda case: write_b_values(case, [60, *B_VALUES[1:]]), ("60", "b0_threshold")),
    "DWI011": (lambda case: write_b_values(case, B_VALUES / 1000), ("ms/um2",)),
    "DWI012": (lambda case: write_nifti(case / "mask.nii.gz", np.ones((4, 4, 4), np.uint8), np.eye(4)), ("mask",)),
}


@pytest.fixture(scope="module")
def refused(medbundles_command, tmp_path_factory) -> Any:
    """One data set with a good case and one case of each fault, prepared once."""
    source = tmp_path_factory.mktemp("faults")
    write_case(source / "in", "good", TinyHead())
    for number, (code, (change, _)) in enumerate(HEADERS.items(), 1):
        change(write_case(source / "in", code.lower(), TinyHead(number)))
    result = medbundles_command("prepare", "dwi_t1w", "--source", source / "in", "--output", source / "out")
    assert not (source / "out" / "datalist.json").exists()
    return result


@pytest.mark.parametrize("code", HEADERS)
def test_a_scan_that_gives_no_tensor_is_refused_with_its_case(refused, code):
    lines = [line for line in refused.stderr.splitlines() if f"[{code}]" in line]
    assert refused.returncode == 3
    assert any(code.lower() in line and all(text in line for text in HEADERS[code][1]) for line in lines), (
        refused.stderr
    )


def test_a_good_case_is_not_mentioned(refused):
    assert "good" not in refused.stderr


def empty_mask(case: Path) -> None:
    write_nifti(case / "mask.nii.gz", np.zeros(DWI_SHAPE, np.uint8), DWI_AFFINE)


def without_signal(case: Path) -> None:
    image = nibabel.load(case / "dwi.nii.gz")
    voxels = np.asarray(image.dataobj).copy()
    voxels[8:12, 10:14, 6:10] = 0
    write_nifti(case / "dwi.nii.gz", voxels, DWI_AFFINE)


@pytest.fixture(scope="module")
def judged(medbundles_command, tmp_path_factory) -> Any:
    """One data set whose faults show in the voxels, prepared without what cannot be used."""
    folder = tmp_path_factory.mktemp("voxels")
    write_case(folder / "in", "good", TinyHead())
    write_case(folder / "in", "displaced", TinyHead(1, shift_mm=(0, 40, 0)))
    empty_mask(write_case(folder / "in", "empty", TinyHead(2)))
    without_signal(write_case(folder / "in", "silent", TinyHead(3)))
    command = ("prepare", "dwi_t1w", "--source", folder / "in", "--output", folder / "out", "--workers", "1")
    return medbundles_command(*command, "--skip_bad_cases"), folder / "out"


def findings_of(judged: Any, code: str) -> list[dict[str, Any]]:
    report = json.loads((judged[1] / "report.json").read_text())
    return [finding for finding in report["findings"] if finding["code"] == code]


def judged_list(judged: Any) -> dict[str, list[dict[str, Any]]]:
    content = json.loads((judged[1] / "datalist.json").read_text())
    return {part: content[part] for part in ("training", "testing")}


def test_a_t1w_that_lies_elsewhere_is_left_out_with_the_distance_dwi010(judged):
    finding = findings_of(judged, "DWI010")[0]
    assert (finding["case"], finding["level"]) == ("displaced", "error")
    assert re.search(r"lies (39|40)\.\d mm off .* mutual information", finding["message"])


def test_an_empty_mask_is_left_out_dwi012(judged):
    finding = findings_of(judged, "DWI012")[0]
    assert (finding["case"], finding["level"]) == ("empty", "error")


def test_voxels_without_signal_are_counted_dwi008(judged):
    warned = {finding["case"] for finding in findings_of(judged, "DWI008") if finding["level"] == "warning"}
    assert warned == {"silent"}
    assert "silent" in {record["case"] for part in judged_list(judged).values() for record in part}


def test_the_good_cases_are_prepared_all_the_same(judged):
    listed = judged_list(judged)
    assert "good" in {record["case"] for part in listed.values() for record in part}
    assert judged[0].returncode == 7  # done, and not all of it could be used
