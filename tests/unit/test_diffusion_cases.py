"""Which files of a data set belong together."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from medbundles.errors import DataError
from medbundles.io.diffusion_cases import find_diffusion_cases, is_bids

Layout = Callable[..., Path]
TRIPLET = ("dwi.nii.gz", "dwi.bval", "dwi.bvec")


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    def make(*names: str) -> Path:
        for name in names:
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
        return tmp_path

    return make


def bids(prefix: str, name: str) -> list[str]:
    return [f"{prefix}/dwi/{name}_{file}" for file in TRIPLET]


def test_a_bids_subject_is_a_case_with_its_t1w(layout: Layout) -> None:
    root = layout(*bids("sub-01", "sub-01"), "sub-01/anat/sub-01_T1w.nii.gz")
    (case,), notes = find_diffusion_cases(root)
    assert (case.name, case.subject, notes) == ("sub-01", "sub-01", [])
    assert case.t1w == root / "sub-01/anat/sub-01_T1w.nii.gz"
    assert (case.b_values.name, case.mask) == ("sub-01_dwi.bval", None)


def test_sessions_and_runs_are_cases_of_one_person(layout: Layout) -> None:
    names = ("sub-01_ses-a_run-1", "sub-01_ses-a_run-2", "sub-01_ses-b")
    root = layout(*bids("sub-01/ses-a", names[0]), *bids("sub-01/ses-a", names[1]), *bids("sub-01/ses-b", names[2]))
    cases, _ = find_diffusion_cases(root)
    assert tuple(case.name for case in cases) == names
    assert {case.subject for case in cases} == {"sub-01"}


def test_the_t1w_of_the_same_session_comes_first(layout: Layout) -> None:
    root = layout(
        *bids("sub-01/ses-b", "sub-01_ses-b"), *(f"sub-01/ses-{s}/anat/sub-01_ses-{s}_T1w.nii.gz" for s in "ab")
    )
    (case,), notes = find_diffusion_cases(root)
    assert case.t1w is not None
    assert (case.t1w.parent.parent.name, notes) == ("ses-b", [])


def test_a_t1w_of_another_session_is_taken_with_a_note(layout: Layout) -> None:
    root = layout(*bids("sub-01/ses-b", "sub-01_ses-b"), "sub-01/ses-a/anat/sub-01_ses-a_T1w.nii.gz")
    (case,), (note,) = find_diffusion_cases(root)
    assert case.t1w is not None
    assert "of another session" in note.message


def test_of_several_t1w_the_first_is_taken_with_a_note(layout: Layout) -> None:
    root = layout(*bids("sub-01", "sub-01"), *(f"sub-01/anat/sub-01_run-{n}_T1w.nii.gz" for n in (2, 1)))
    (case,), (note,) = find_diffusion_cases(root)
    assert case.t1w is not None
    assert case.t1w.name == "sub-01_run-1_T1w.nii.gz"
    assert "the first of 2" in note.message


def test_gradients_that_stand_above_apply_to_all_below(layout: Layout) -> None:
    root = layout("dwi.bval", "dwi.bvec", "sub-01/dwi/sub-01_dwi.nii.gz", "sub-01/dwi/sub-01_dwi.bval")
    (case,), _ = find_diffusion_cases(root)
    assert (case.b_values, case.b_vectors) == (root / "sub-01/dwi/sub-01_dwi.bval", root / "dwi.bvec")


def test_gradients_of_another_acquisition_do_not(layout: Layout) -> None:
    root = layout("acq-fast_dwi.bvec", "sub-01/dwi/sub-01_acq-slow_dwi.nii.gz")
    (case,), _ = find_diffusion_cases(root)
    assert not case.b_vectors.exists()


def test_a_mask_beside_the_image_is_taken(layout: Layout) -> None:
    root = layout(*bids("sub-01", "sub-01"), "sub-01/dwi/sub-01_desc-brain_mask.nii.gz")
    (case,), _ = find_diffusion_cases(root)
    assert case.mask is not None


def test_a_folder_for_each_case(layout: Layout) -> None:
    files = [f"anna/{name}" for name in (*TRIPLET, "mask.nii.gz", "T1w.nii.gz")] + [
        f"bert/bert_{name}" for name in TRIPLET
    ]
    cases, _ = find_diffusion_cases(layout(*files))
    assert [case.name for case in cases] == ["anna", "bert"]
    assert [(case.mask is not None, case.t1w is not None) for case in cases] == [(True, True), (False, False)]
    assert cases[1].b_vectors.name == "bert_dwi.bvec"


def test_one_folder_is_one_case(layout: Layout) -> None:
    root = layout(*(f"anna/{name}" for name in TRIPLET))
    (case,), _ = find_diffusion_cases(root / "anna")
    assert case.name == "anna"


def test_missing_gradients_are_still_named(layout: Layout) -> None:
    (case,), _ = find_diffusion_cases(layout("anna/dwi.nii.gz"))
    assert (case.b_values.name, case.b_values.exists()) == ("dwi.bval", False)


@pytest.mark.parametrize("name", ["nothing.txt", "anna/t1w.nii.gz", "sub-01/anat/sub-01_T1w.nii.gz"])
def test_without_a_diffusion_image_it_is_refused(layout: Layout, name: str) -> None:
    with pytest.raises(DataError, match=r"TRN011.*BIDS"):
        find_diffusion_cases(layout(name))


def test_a_folder_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="TRN011"):
        find_diffusion_cases(tmp_path / "absent")


def test_a_folder_of_cases_is_no_bids(layout: Layout) -> None:
    assert not is_bids(layout("anna/dwi.nii.gz"))
