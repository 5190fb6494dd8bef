"""``info`` and ``doctor``: what there is, for people and for machines."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from medbundles.cli import doctor
from medbundles.errors import EnvironmentFailure

Command = Callable[..., subprocess.CompletedProcess[str]]


def test_info_lists_every_bundle_of_the_repository(medbundles_command: Command, repository: Path) -> None:
    listed = {bundle["name"] for bundle in json.loads(medbundles_command("info", "--json").stdout)}
    assert listed == {path.parent.parent.name for path in repository.glob("bundles/*/configs/metadata.json")}


def test_info_of_one_bundle_is_one_object(medbundles_command: Command) -> None:
    bundle = json.loads(medbundles_command("info", "lung_nodule_ct_segmentation", "--json").stdout)
    assert bundle["metadata"]["network_data_format"]["inputs"]["image"]["num_channels"] == 7
    assert {"train.yaml", "evaluate.yaml", "inference.yaml"} <= set(bundle["configs"])


def test_info_of_an_unknown_bundle_is_refused(medbundles_command: Command) -> None:
    answer = medbundles_command("info", "kidney")
    assert answer.returncode == 2
    assert "there is: brain_tumor_mri_segmentation, lung_nodule_ct_segmentation" in answer.stderr


def test_doctor_says_which_device_and_why(medbundles_command: Command) -> None:
    report = json.loads(medbundles_command("doctor", "--json").stdout)
    assert report["device"]["auto"] in {"cpu", "cuda"}
    assert report["device"]["why"]


def test_doctor_names_every_declared_extra() -> None:
    assert set(doctor.requirements()) == {"", "dwi", "dicom", "openvino", "onnx", "mlflow", "ray", "swin", "dev"}


def test_doctor_advises_to_install_the_checkout_with_the_extra(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(repository)
    assert doctor.advice("openvino") == "pip install -e '.[openvino]'"
    monkeypatch.chdir(tmp_path)
    assert doctor.advice() == f"pip install -e '{repository.as_posix()}'"


def test_doctor_names_the_packages_where_there_is_no_checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "content_root", lambda: tmp_path)
    monkeypatch.setattr(doctor, "installed_version", lambda name: None if name == "onnxscript" else "1")
    assert doctor.advice("onnx") == "pip install 'onnxscript>=0.5'"


def test_doctor_fails_when_a_core_package_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    installed = doctor.installed_version
    monkeypatch.setattr(doctor, "installed_version", lambda name: None if name == "nibabel" else installed(name))
    with pytest.raises(EnvironmentFailure, match="missing: nibabel"):
        doctor.doctor(as_json=True)
