"""Cases that lack contrasts: found, checked and read only where the model can do without."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from medbundles.checks.cases import check_cases, check_channels, inspect_cases
from medbundles.checks.dataset import check_dataset
from medbundles.components.datasets.mapped_cache import MappedCache, files_of
from medbundles.components.workflows.run_data import RunData
from medbundles.errors import ConfigurationError, DataError
from medbundles.io.cases import find_cases, look_for_cases
from medbundles.io.datalist import Record, records
from medbundles.io.images import write_volume

CONTRASTS = ["t1n", "t1c", "t2w", "t2f"]
ALIASES = {"t1n": ["t1"], "t1c": ["t1ce"], "t2w": ["t2"], "t2f": ["flair"]}


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MEDBUNDLES_CACHE", str(tmp_path / "cache"))


def write_case(folder: Path, *names: str, shift: float = 0.0, constant: bool = False) -> None:
    """Write contrasts of a case; the last one shifted along the first axis, or constant."""
    for number, name in enumerate(names):
        last = number == len(names) - 1
        affine = np.eye(4)
        affine[0, 3] = shift if last else 0
        values = np.random.default_rng(number).integers(0, 100, (6, 5, 4)).astype(np.int16)
        write_volume(folder / f"{folder.name}_{name}.nii.gz", values * (0 if last and constant else 1), affine)


def listed(folder: Path, images: list[str | None], channels: list[str] | None = None) -> Path:
    record = {"image": images, "case": "anna", "fold": 0}
    content = {"channels": channels or CONTRASTS, "training": [], "testing": [record]}
    (folder / "datalist.json").write_text(json.dumps(content), encoding="utf-8")
    return folder


def names_of(record: Record) -> list[str | None]:
    return [None if path is None else Path(path).name for path in record["image"]]


def test_a_folder_with_some_contrasts_is_a_case_where_they_are_optional(tmp_path: Path) -> None:
    write_case(tmp_path / "anna", "t2f", "t1c")
    write_case(tmp_path / "ben", *CONTRASTS)
    anna, ben = find_cases(tmp_path, CONTRASTS, optional=True)
    assert names_of(anna) == [None, "anna_t1c.nii.gz", None, "anna_t2f.nii.gz"]
    assert None not in ben["image"]


def test_a_folder_s_only_file_is_the_contrast_that_it_is_named_after(tmp_path: Path) -> None:
    write_case(tmp_path / "anna", "t2w")
    (found,) = find_cases(tmp_path, CONTRASTS, optional=True)
    assert names_of(found) == [None, None, "anna_t2w.nii.gz", None]


@pytest.mark.parametrize("optional", [True, False])
def test_files_may_end_in_other_names_of_their_contrasts(tmp_path: Path, optional: bool) -> None:
    write_case(tmp_path / "anna", "t1", "t1ce", "t2", "flair")
    (found,) = find_cases(tmp_path, CONTRASTS, optional, ALIASES)
    assert names_of(found) == [f"anna_{name}.nii.gz" for name in ("t1", "t1ce", "t2", "flair")]


def test_files_side_by_side_belong_to_the_case_named_before_the_contrast(tmp_path: Path) -> None:
    for name in ("anna_t1c.nii.gz", "anna_t2f.nii.gz", "ben_t1ce.nii.gz", "ben_seg.nii.gz"):
        (tmp_path / name).touch()
    found = find_cases(tmp_path, CONTRASTS, True, ALIASES)
    assert {record["case"]: names_of(record) for record in found} == {
        "anna": [None, "anna_t1c.nii.gz", None, "anna_t2f.nii.gz"],
        "ben": [None, "ben_t1ce.nii.gz", None, None],
    }


def test_one_word_for_two_contrasts_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r'CFG002.*"T1" names two channels: t1n and t1c'):
        find_cases(tmp_path, CONTRASTS, aliases={"t1n": ["t1"], "t1c": ["T1"]})


def test_a_case_of_some_contrasts_may_be_the_folder_itself(tmp_path: Path) -> None:
    write_case(tmp_path / "anna", "t1c", "t2f")
    assert [record["case"] for record in find_cases(tmp_path / "anna", CONTRASTS, optional=True)] == ["anna"]


def test_a_model_that_needs_all_contrasts_names_them_and_their_order(tmp_path: Path) -> None:
    write_case(tmp_path / "anna", "t1n", "t1c", "t2f")
    order = "expected one file ending in each of t1n .or t1., t1c .or t1ce., t2w .or t2., t2f .or flair., in this order"
    with pytest.raises(DataError, match=rf"NII008. case anna: no file for channel t2w: .*; {order}"):
        find_cases(tmp_path, CONTRASTS, aliases=ALIASES)


def test_a_folder_without_any_of_the_contrasts_is_refused_in_one_line(tmp_path: Path) -> None:
    write_case(tmp_path / "anna", "adc", "dwi")
    found, findings = look_for_cases(tmp_path, CONTRASTS, optional=True)
    assert not found
    (finding,) = findings
    assert "no file for any channel: anna_adc.nii.gz, anna_dwi.nii.gz; expected files ending in t1n" in finding.message


def test_two_files_for_one_contrast_are_refused_though_contrasts_are_optional(tmp_path: Path) -> None:
    write_case(tmp_path / "anna", "t1c", "2_t1c", "t2f")
    with pytest.raises(DataError, match=r"NII008.*several files for channel t1c"):
        find_cases(tmp_path, CONTRASTS, optional=True)


def test_null_in_a_data_list_stays_null_in_any_order_of_channels(tmp_path: Path) -> None:
    folder = listed(tmp_path, ["a.nii", None, "c.nii", "d.nii"])
    (record,) = records(folder, "testing", channels=["t2f", "t1c"])
    assert names_of(record) == ["d.nii", None]
    (record,) = records(folder, "testing", channels=["t1c"])
    assert record["image"] == [None]


def test_a_channel_that_the_list_does_not_name_is_absent_where_it_may_be(tmp_path: Path) -> None:
    folder = listed(tmp_path, ["a.nii", "b.nii"], ["t1c", "t2f"])
    (record,) = records(folder, "testing", channels=CONTRASTS, optional=True)
    assert names_of(record) == [None, "a.nii", None, "b.nii"]
    with pytest.raises(DataError, match=r"NII008.*no channel t1n, t2w"):
        records(folder, "testing", channels=CONTRASTS)
    with pytest.raises(DataError, match=r"NII008.*no channel adc"):
        records(folder, "testing", channels=["adc"], optional=True)


def test_a_record_of_nulls_alone_is_malformed(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r'TRN011.*record 1 of "testing" has no "image"'):
        records(listed(tmp_path, [None, None, None, None]), "testing")


def test_volumes_of_a_4d_image_are_not_put_in_another_order(tmp_path: Path) -> None:
    folder = listed(tmp_path, ["all.nii"])
    assert records(folder, "testing", channels=CONTRASTS)[0]["image"] == [str(tmp_path / "all.nii")]
    with pytest.raises(DataError, match=r"NII008.*case anna: a 4D image holds all channels in the data list's order"):
        records(folder, "testing", channels=["t2f", "t1n"])


def case_of(folder: Path, *names: str, **options: Any) -> Record:
    write_case(folder / "anna", *names, **options)
    return find_cases(folder, CONTRASTS, optional=True)[0]


def test_missing_contrasts_are_warned_of_and_the_case_goes_on(tmp_path: Path) -> None:
    good, findings = check_cases([case_of(tmp_path, "t1c", "t2f")], channels=CONTRASTS, missing_contrasts=True)
    assert len(good) == 1
    assert [(finding.code, finding.level) for finding in findings] == [("NII008", "warning")]
    assert findings[0].message == "no t1n, t2w; goes on with t1c, t2f"


def test_missing_contrasts_refuse_where_the_model_needs_all(tmp_path: Path) -> None:
    case = case_of(tmp_path, "t1c", "t2f")
    with pytest.raises(DataError, match=r"NII008.*no t1n, t2w; expected 4 in this order: t1n, t1c, t2w, t2f"):
        check_cases([case], channels=CONTRASTS)


def test_present_contrasts_must_lie_on_each_other(tmp_path: Path) -> None:
    case = case_of(tmp_path, "t1c", "t2f", shift=3.0)
    with pytest.raises(DataError, match=r"NII004.*anna_t2f.nii.gz: affine differs from anna_t1c.nii.gz by 3.0 mm"):
        check_cases([case], channels=CONTRASTS, missing_contrasts=True)


def test_a_constant_contrast_is_warned_of(tmp_path: Path) -> None:
    case = case_of(tmp_path, "t1c", "t2f", constant=True)
    findings = inspect_cases([case], channels=CONTRASTS, missing_contrasts=True)
    assert [finding.file for finding in findings if finding.code == "NII011"] == ["anna_t2f.nii.gz"]


def test_volumes_of_a_raw_4d_file_are_taken_in_order_with_a_warning(tmp_path: Path) -> None:
    write_volume(tmp_path / "anna.nii.gz", np.random.default_rng(0).random((5, 4, 3, 4), np.float32), np.eye(4))
    _, findings = check_cases(find_cases(tmp_path, CONTRASTS), channels=CONTRASTS)
    assert "taken for t1n, t1c, t2w, t2f, in this order" in findings[0].message


def test_a_lone_volume_that_is_named_after_no_contrast_is_refused(tmp_path: Path) -> None:
    write_volume(tmp_path / "scan.nii.gz", np.arange(60, dtype=np.int16).reshape(5, 4, 3), np.eye(4))
    with pytest.raises(DataError, match=r"NII008.*scan.nii.gz: one volume whose name ends in none of t1n") as caught:
        check_cases(find_cases(tmp_path, CONTRASTS, True), channels=CONTRASTS, missing_contrasts=True)
    assert len(caught.value.findings) == 1  # nothing is said of volumes in a 4D file


def test_training_notes_what_is_missing(tmp_path: Path) -> None:
    write_case(tmp_path / "anna", "t1c", "t2f")
    images = ["anna/anna_t1c.nii.gz", "anna/anna_t2f.nii.gz", None, None]
    folder = listed(tmp_path, images, ["t1c", "t2f", "t1n", "t2w"])
    findings = check_dataset(folder, label_values=None, channels=CONTRASTS, missing_contrasts=True)
    assert {(finding.code, finding.level) for finding in findings if finding.code == "NII008"} == {("NII008", "note")}


def test_a_run_takes_what_its_session_allows(tmp_path: Path) -> None:
    write_case(tmp_path / "scans" / "anna", "t1ce", "flair")
    options: dict[str, Any] = {"channels": tuple(CONTRASTS), "channel_aliases": ALIASES}
    good, _ = RunData("infer", tmp_path / "scans", missing_contrasts=True, **options).check()
    assert names_of(good[0]) == [None, "anna_t1ce.nii.gz", None, "anna_flair.nii.gz"]
    with pytest.raises(DataError, match=r"NII008.*no file for channel t1n"):
        RunData("infer", tmp_path / "scans", **options).check()


def test_absent_contrasts_are_no_files_of_a_cached_record() -> None:
    assert files_of({"image": ["a.nii", None, "c.nii"], "label": None}) == ["a.nii", "c.nii"]


def test_what_is_absent_tells_cached_records_apart(tmp_path: Path) -> None:
    from medbundles.components.transforms import LoadContrastsd

    write_case(tmp_path / "anna", "t1c")
    file = str(tmp_path / "anna" / "anna_t1c.nii.gz")
    cache = MappedCache(tmp_path / "cache", LoadContrastsd(["t1n", "t1c"]))
    assert cache.entry({"image": [None, file]}) != cache.entry({"image": [file, None]})


@pytest.mark.parametrize("endings", [[1, 2], "t1", {"t1n": "t1"}])
def test_endings_that_are_no_lists_by_contrast_are_refused(tmp_path: Path, endings: Any) -> None:
    write_case(tmp_path / "anna", "t1n")
    with pytest.raises(ConfigurationError, match="CFG002"):
        find_cases(tmp_path, CONTRASTS, True, endings)


def test_a_file_that_is_taken_for_no_contrast_is_named(tmp_path: Path) -> None:
    for name in ("p2_t2f", "p2_t1post", "p2_seg"):
        write_volume(tmp_path / "p2" / f"{name}.nii.gz", np.arange(512, dtype=np.int16).reshape(8, 8, 8), np.eye(4))
    record = {"case": "p2", "image": [None, str(tmp_path / "p2" / "p2_t2f.nii.gz")]}
    (finding,) = check_channels(record, ["t1c", "t2f"], missing_contrasts=True, purpose="infer")
    assert finding.message == "no t1c; goes on with t2f; p2_t1post.nii.gz is none of them"


def test_volumes_in_another_order_than_the_decathlon_s_are_refused(tmp_path: Path) -> None:
    values = np.random.default_rng(0).random((8, 8, 8, 2)).astype(np.float32)
    write_volume(tmp_path / "imagesTs" / "a.nii.gz", values, np.eye(4))
    (tmp_path / "dataset.json").write_text('{"modality": {"0": "FLAIR", "1": "T1gd"}}')
    case = {"case": "a", "image": str(tmp_path / "imagesTs" / "a.nii.gz")}
    found = inspect_cases([case], channels=["t1c", "t2f"], missing_contrasts=True)
    assert [(each.code, each.level) for each in found if each.level == "error"] == [("NII008", "error")]
    assert "its volumes are t2f, t1c by dataset.json, expected t1c, t2f" in str(found[0])
    right = inspect_cases([case], channels=["t2f", "t1c"], missing_contrasts=True)
    assert not [each for each in right if each.level == "error"]
