"""The command around the checks; the faults themselves are in tests/faults."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from dwi_layout import TinyHead, write_case

from medbundles.io.images import write_volume

BUNDLE = "lung_nodule_ct_segmentation"
Command = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def scans(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MEDBUNDLES_CACHE", str(tmp_path / "cache"))
    scan = np.linspace(-1000, 200, 4000).reshape(20, 20, 10).astype(np.int16)
    write_volume(tmp_path / "scans" / "a.nii.gz", scan, np.eye(4))
    write_volume(tmp_path / "scans" / "b.nii.gz", scan + np.int16(1000), np.eye(4))
    return tmp_path / "scans"


def test_json_holds_every_finding_and_the_exit_code_stays(medbundles_command: Command, scans: Path) -> None:
    result = medbundles_command("check", BUNDLE, scans, "--json")

    content = json.loads(result.stdout)
    assert result.returncode == 3
    assert content["kind"] == "2 cases for inference"
    refused = [finding for finding in content["findings"] if finding["level"] == "error"]
    assert [(finding["code"], finding["case"], finding["file"]) for finding in refused] == [("NII013", "b", "b.nii.gz")]


def test_strict_refuses_what_is_a_warning_otherwise(medbundles_command: Command, scans: Path) -> None:
    assert medbundles_command("check", BUNDLE, scans, "--allow", "NII013").returncode == 0
    assert medbundles_command("check", BUNDLE, scans, "--allow", "NII013", "--strict").returncode == 3


def test_labels_of_two_classes_are_right_with_their_overlay_only(
    medbundles_command: Command, scans: Path, tmp_path: Path
) -> None:
    labels = np.zeros((20, 20, 10), np.uint8)
    labels[5:8, 5:8, 5], labels[12:15, 12:15, 5] = 1, 2
    write_volume(tmp_path / "scans" / "a_label.nii.gz", labels, np.eye(4))
    records = [{"image": "a.nii.gz", "label": "a_label.nii.gz"}]
    (scans / "datalist.json").write_text(json.dumps({"training": records, "testing": []}))

    plain = medbundles_command("check", BUNDLE, scans)

    assert (plain.returncode, "NII009" in plain.stderr) == (3, True)
    assert medbundles_command("check", BUNDLE, scans, "--overlay", "malignancy").returncode == 0


def test_an_unknown_overlay_is_a_usage_error_with_those_there_are(medbundles_command: Command, scans: Path) -> None:
    result = medbundles_command("check", BUNDLE, scans, "--overlay", "malignant")

    assert result.returncode == 2
    assert "did you mean malignancy?" in result.stderr


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (("--geometry", "both"), "expected sform or qform"),
        (("--allow", "{a: 1}"), "expected a list of fault codes"),
        (("--allow", "[NII001"), "expected a list of fault codes"),
    ],
)
def test_options_that_cannot_be_meant_end_with_2(
    medbundles_command: Command, scans: Path, options: tuple[str, str], text: str
) -> None:
    result = medbundles_command("check", BUNDLE, scans, *options)

    assert result.returncode == 2
    assert text in result.stderr


def test_an_unknown_bundle_is_a_usage_error_with_a_suggestion(medbundles_command: Command, scans: Path) -> None:
    result = medbundles_command("check", "lung_nodule_segmentation", scans)

    assert result.returncode == 2
    assert f"did you mean {BUNDLE}?" in result.stderr


def test_a_path_without_data_is_refused_as_such(medbundles_command: Command, tmp_path: Path) -> None:
    result = medbundles_command("check", BUNDLE, tmp_path / "nowhere")

    assert result.returncode == 3
    assert "error[TRN011]" in result.stderr


def test_checks_load_no_heavy_library() -> None:
    names = "medbundles.cli.check, medbundles.checks.dataset, medbundles.checks.cases, medbundles.io.cases"
    code = f"import sys, {names}; print(sorted({{'torch', 'monai', 'itk', 'scipy', 'nibabel'}} & set(sys.modules)))"

    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert result.stdout.strip() == "[]"


@pytest.fixture
def heads(tmp_path: Path) -> Path:
    for number, name in enumerate(("anna", "ben")):
        write_case(tmp_path / "heads", name, TinyHead(number))
    return tmp_path / "heads"


def test_raw_diffusion_scans_are_checked_as_preparation_does(medbundles_command: Command, heads: Path) -> None:
    (heads / "anna" / "t1w.nii.gz").unlink()
    result = medbundles_command("check", "t1w_synthesis", heads)
    assert result.returncode == 3
    assert "2 diffusion scans to prepare with their T1w" in result.stdout
    assert "[NII008] case anna" in result.stderr


def test_raw_diffusion_scans_without_any_t1w_are_meant_for_inference(medbundles_command: Command, heads: Path) -> None:
    for path in heads.glob("*/t1w.nii.gz"):
        path.unlink()
    result = medbundles_command("check", "t1w_synthesis", heads)
    assert result.returncode == 0, result.stderr
    assert "2 diffusion scans for inference" in result.stdout


def test_names_that_inference_takes_are_known_to_the_check(medbundles_command: Command, tmp_path: Path) -> None:
    values = np.zeros((16, 16, 16), np.int16)
    values[4:12, 4:12, 4:12] = np.random.default_rng(0).integers(1, 500, (8, 8, 8))
    for name in ("t1", "t1ce", "t2", "flair"):
        write_volume(tmp_path / "p9" / f"p9_{name}.nii.gz", values + (values > 0), np.eye(4))
    result = medbundles_command("check", "brain_tumor_mri_segmentation", tmp_path)
    assert result.returncode == 0, result.stderr
    assert "1 cases for inference" in result.stdout


def test_endings_of_contrasts_can_be_said_to_the_check(medbundles_command: Command, tmp_path: Path) -> None:
    values = np.zeros((16, 16, 16), np.int16)
    values[4:12, 4:12, 4:12] = np.random.default_rng(0).integers(1, 500, (8, 8, 8))
    write_volume(tmp_path / "p9" / "p9_post.nii.gz", values, np.eye(4))
    words = ("check", "brain_tumor_mri_segmentation", tmp_path, "--contrast_endings::t1c", "['post']")
    result = medbundles_command(*words)
    assert result.returncode == 0, result.stderr
