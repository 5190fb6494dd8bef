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


def triplet(stem: str) -> list[str]:
    return [f"{stem}{suffix}" for suffix in (".nii.gz", ".bval", ".bvec")]


def chosen(root: Path) -> dict[str, tuple[str, str, str]]:
    cases, _ = find_diffusion_cases(root)
    return {case.name: (case.dwi.name, case.b_values.name, case.b_vectors.name) for case in cases}


def test_gradients_of_other_names_are_not_taken(layout: Layout) -> None:
    root = layout(*triplet("anna/dwi"), "anna/a_dwi.bval", "anna/corrected_dwi.bvec")
    assert chosen(root) == {"anna": TRIPLET}


def test_no_scan_gets_the_gradients_of_another(layout: Layout) -> None:
    (case,), _ = find_diffusion_cases(layout("anna/AP_dwi.nii.gz", "anna/PA_dwi.bval"))
    assert (case.dwi.name, case.b_values.name, case.b_values.exists()) == ("AP_dwi.nii.gz", "AP_dwi.bval", False)


@pytest.mark.parametrize(
    ("masks", "taken"),
    [
        (["mask", "csf_mask"], "mask"),
        (["anna_mask", "brain_mask"], "anna_mask"),
        (["dwi_brain_mask", "t1w_mask"], "dwi_brain_mask"),
        (["lesion_mask", "t1w_mask"], None),
    ],
)
def test_only_the_brains_mask_is_taken(layout: Layout, masks: list[str], taken: str | None) -> None:
    root = layout(*triplet("anna/dwi"), *(f"anna/{mask}.nii.gz" for mask in masks))
    (case,), findings = find_diffusion_cases(root)
    assert case.mask == (taken and root / f"anna/{taken}.nii.gz")
    assert [finding.level for finding in findings] == ([] if taken else ["note"])


@pytest.mark.parametrize("files", [["mask.nii", "mask.nii.gz"], ["a_T1w.nii.gz", "b_T1w.nii.gz"]])
def test_several_candidates_are_an_error_that_lists_them(layout: Layout, files: list[str]) -> None:
    _, (finding,) = find_diffusion_cases(layout(*triplet("anna/dwi"), *(f"anna/{file}" for file in files)))
    assert (finding.code, finding.level, finding.case) == ("NII008", "error", "anna")
    assert all(file in finding.message for file in files)


def test_a_t1w_of_the_exact_name_comes_first(layout: Layout) -> None:
    (case,), findings = find_diffusion_cases(layout(*triplet("anna/dwi"), "anna/MNI_t1w.nii.gz", "anna/T1w.nii.gz"))
    assert case.t1w is not None
    assert (case.t1w.name, findings) == ("T1w.nii.gz", [])


def test_the_names_of_converters_are_understood(layout: Layout) -> None:
    root = layout(*triplet("anna/dwi_dir16_AP"), "anna/T1w_1mm_upperhead.nii.gz", "anna/T1w_mask.nii.gz")
    (case,), _ = find_diffusion_cases(root)
    assert (case.name, case.dwi.name) == ("anna", "dwi_dir16_AP.nii.gz")
    assert case.t1w == root / "anna/T1w_1mm_upperhead.nii.gz"


def test_several_scans_of_a_folder_are_cases_of_one_person(layout: Layout) -> None:
    cases, findings = find_diffusion_cases(layout(*triplet("anna/AP"), *triplet("anna/PA_dwi"), "anna/AP_mask.nii"))
    assert [(case.name, case.subject) for case in cases] == [("anna_AP", "anna"), ("anna_PA_dwi", "anna")]
    assert ([case.mask is None for case in cases], findings[0].level) == ([False, True], "note")


def test_files_directly_in_the_given_folder_are_found(layout: Layout) -> None:
    root = layout(*triplet("series_7"))
    assert list(chosen(root)) == [root.name]


def test_a_scan_called_dwi_stands_alone_and_the_others_are_named(layout: Layout) -> None:
    root = layout(*triplet("anna/dwi"), *triplet("anna/PA_dwi"))
    assert chosen(root) == {"anna": TRIPLET}
    (finding,) = find_diffusion_cases(root)[1]
    assert (finding.level, "anna/PA_dwi.nii.gz" in finding.message) == ("warning", True)


@pytest.mark.parametrize("left", ["site/ben/dwi", "ben/dwi"])
def test_scans_that_are_not_taken_are_named(layout: Layout, left: str) -> None:
    root = layout(*bids("sub-01", "sub-01"), *triplet(left))
    (case,), (finding,) = find_diffusion_cases(root)
    assert (case.name, finding.code, finding.level) == ("sub-01", "TRN011", "warning")
    assert f"{left}.nii.gz" in finding.message


def test_gradients_that_belong_to_no_image_are_named(layout: Layout) -> None:
    with pytest.raises(DataError, match=r"TRN011.*anna/table\.bvec"):
        find_diffusion_cases(layout("anna/scan.nii.gz", "anna/table.bvec"))


def test_scans_too_deep_to_be_found_are_named(layout: Layout) -> None:
    with pytest.raises(DataError, match=r"TRN011.*site/anna/dwi\.nii\.gz"):
        find_diffusion_cases(layout(*triplet("site/anna/dwi")))


def test_derivatives_and_phases_are_left_out_with_a_note(layout: Layout) -> None:
    names = [f"sub-01_part-{part}" for part in ("mag", "phase")]
    root = layout(*bids("sub-01", names[0]), *bids("sub-01", names[1]), *bids("derivatives/x/sub-01", "sub-01"))
    (case,), (note,) = find_diffusion_cases(root)
    assert (case.name, note.level) == (names[0], "note")
    assert all(name in note.message for name in ("derivatives", "part-phase"))


def test_hidden_files_and_folders_are_no_scans(layout: Layout) -> None:
    hidden = [*triplet(".trash/dwi"), "anna/._dwi.nii.gz", "anna/._mask.nii.gz", "anna/._scan.bvec"]
    (case,), findings = find_diffusion_cases(layout(*triplet("anna/dwi"), *hidden))
    assert (case.name, case.dwi.name, case.mask, findings) == ("anna", "dwi.nii.gz", None, [])


@pytest.mark.parametrize("mask", ["desc-lesion_mask", "label-WM_mask"])
def test_a_bids_mask_of_something_else_is_not_the_brain(layout: Layout, mask: str) -> None:
    (case,), _ = find_diffusion_cases(layout(*bids("sub-01", "sub-01"), f"sub-01/dwi/sub-01_{mask}.nii.gz"))
    assert case.mask is None


@pytest.mark.parametrize(
    "unused",
    [
        "sub-01/dwi/sub-01_run-1_mask",  # beside the one that is taken
        "sub-01/dwi/sub-01_run-2_desc-brain_mask",  # of a run that is not there
        "derivatives/x/sub-01/dwi/sub-01_run-1_desc-brain_mask",
    ],
)
def test_a_bids_mask_that_is_not_taken_is_named_in_a_note(layout: Layout, unused: str) -> None:
    name = "sub-01_run-1"
    root = layout(*bids("sub-01", name), f"sub-01/dwi/{name}_desc-brain_mask.nii.gz", f"{unused}.nii.gz")
    (case,), (note,) = find_diffusion_cases(root)
    assert case.mask == root / f"sub-01/dwi/{name}_desc-brain_mask.nii.gz"
    assert (note.level, f"not taken for the brain: {unused}.nii.gz;" in str(note)) == ("note", True)


def test_of_many_masks_that_are_not_taken_a_few_are_named(layout: Layout) -> None:
    masks = [f"derivatives/x/sub-01/dwi/sub-01_run-{number}_mask.nii.gz" for number in range(9)]
    _, (note,) = find_diffusion_cases(layout(*bids("sub-01", "sub-01"), *masks))
    assert note.message.endswith("sub-01_run-4_mask.nii.gz and 4 more")


def test_a_t1w_of_no_session_serves_all_that_have_none(layout: Layout) -> None:
    root = layout(*bids("sub-01/ses-2", "sub-01_ses-2"), "sub-01/anat/sub-01_T1w.nii.gz")
    (case,), (note,) = find_diffusion_cases(root)
    assert case.t1w == root / "sub-01/anat/sub-01_T1w.nii.gz"
    assert "of no session" in note.message


def test_images_without_gradients_in_other_folders_are_no_scans(layout: Layout) -> None:
    _, findings = find_diffusion_cases(layout(*triplet("anna/dwi"), "data/images/anna_mean_dwi.nii.gz"))
    assert findings == []
