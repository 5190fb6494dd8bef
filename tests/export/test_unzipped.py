"""The unzipped bundle where medbundles is not installed: MONAI's own commands must take it."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import jsonschema
import pytest

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
