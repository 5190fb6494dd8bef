"""The unzipped bundle where medbundles is not installed: MONAI's own commands must take it."""

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import jsonschema
import numpy as np
import pytest

from medbundles.io.images import read_volume, write_volume

SCHEMA = Path(__file__).parent / "meta_schema.json"
Run = Callable[..., subprocess.CompletedProcess[str]]


def test_medbundles_is_really_absent(python_without_medbundles: Run, tmp_path: Path) -> None:
    assert "No module named 'medbundles'" in python_without_medbundles("-c", "import medbundles", cwd=tmp_path).stderr


def test_the_vendored_package_is_the_one_that_runs(python_without_medbundles: Run, unzipped: Path) -> None:
    code = "import medbundles.components.networks as n; print(n.__file__)"
    assert python_without_medbundles("-c", code, cwd=unzipped).stdout.startswith(str(unzipped))


def test_verify_metadata(python_without_medbundles: Run, unzipped: Path) -> None:
    answer = python_without_medbundles(
        "-m monai.bundle verify_metadata --meta_file configs/metadata.json --filepath", SCHEMA, cwd=unzipped
    )
    assert answer.returncode == 0, answer.stderr
    assert "no error" in answer.stdout + answer.stderr


def test_the_schema_refuses_a_tensor_without_channels(unzipped: Path) -> None:
    metadata = json.loads((unzipped / "configs" / "metadata.json").read_text())
    del metadata["network_data_format"]["inputs"]["image"]["num_channels"]
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(metadata, json.loads(SCHEMA.read_text()))


def test_verify_net_in_out(python_without_medbundles: Run, unzipped: Path) -> None:
    answer = python_without_medbundles(
        "-m monai.bundle verify_net_in_out network_def --device cpu --meta_file configs/metadata.json"
        " --config_file configs/inference.yaml",
        cwd=unzipped,
    )
    assert answer.returncode == 0, answer.stderr


@pytest.fixture(scope="module")
def scans(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one small chest-like CT in HU."""
    folder = tmp_path_factory.mktemp("scans")
    scan = np.random.default_rng(0).normal(-1000, 10, (64, 48, 12)).astype(np.int16)
    scan[8:56, 8:40] = 40
    scan[14:30, 14:34] = scan[34:50, 14:34] = -850
    write_volume(folder / "anna.nii.gz", scan, np.diag([-5.0, -5.0, 4.0, 1.0]))
    return folder


@pytest.mark.slow
def test_inference(python_without_medbundles: Run, unzipped: Path, scans: Path, tmp_path: Path) -> None:
    answer = python_without_medbundles(
        "-m monai.bundle run --config_file configs/inference.yaml --device cpu --backend eager --dataset_dir",
        *(scans, "--output_dir", tmp_path / "out"),
        cwd=unzipped,
    )
    assert answer.returncode == 0, answer.stderr
    found = read_volume(tmp_path / "out" / "anna_seg.nii.gz")
    assert found.array.shape == (64, 48, 12)
    np.testing.assert_allclose(found.affine, np.diag([-5.0, -5.0, 4.0, 1.0]))


@pytest.mark.slow
def test_another_version_refuses_with_the_remedy(
    python_without_medbundles: Run, unzipped: Path, scans: Path, tmp_path: Path
) -> None:
    other = tmp_path / "other"
    shutil.copytree(unzipped, other)
    (other / "medbundles" / "CONTENT.sha256").write_text("0" * 64 + "\n")
    answer = python_without_medbundles(
        "-m monai.bundle run --device cpu --config_file",
        *(other / "configs" / "inference.yaml", "--bundle_root", other, "--dataset_dir", scans),
        *("--output_dir", tmp_path / "out"),
        cwd=unzipped,
    )
    assert answer.returncode == 4, answer.stderr
    assert "error[CFG005] medbundles" in answer.stderr
    assert f"start in {other}" in answer.stderr


@pytest.mark.slow
def test_ckpt_export(python_without_medbundles: Run, unzipped: Path, tmp_path: Path) -> None:
    answer = python_without_medbundles(
        "-m monai.bundle ckpt_export network_def --meta_file configs/metadata.json"
        " --config_file configs/inference.yaml --ckpt_file models/model.pt --filepath",
        tmp_path / "again.ts",
        cwd=unzipped,
    )
    assert answer.returncode == 0, answer.stderr
    assert (tmp_path / "again.ts").is_file()
