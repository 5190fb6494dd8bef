"""Reference pages say what the code does; links lead somewhere."""

from __future__ import annotations

import ast
import importlib
import inspect
import json
import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import nibabel
import numpy as np
import pytest
import yaml

from medbundles.errors import ExitCode
from medbundles.io.datalist import read_datalist

REPOSITORY = Path(__file__).resolve().parents[2]
REFERENCE = REPOSITORY / "docs" / "reference"
FAULT_CODE = re.compile(r"(?:NII|DCM|LUN|DWI|TRN|CFG|TRU)\d{3}")
# It lists codes of checks that a later bundle brings.
LISTS_ONLY = REPOSITORY / "medbundles" / "checks" / "verdict.py"
PAGES = sorted([*REPOSITORY.glob("*.md"), *REPOSITORY.glob("docs/**/*.md"), *REPOSITORY.glob("bundles/*/docs/*.md")])


def first_cells(page: Path) -> list[str]:
    rows = re.findall(r"^\| ([^|]*) \|", page.read_text(encoding="utf-8"), re.MULTILINE)
    return [cell.strip() for cell in rows]


def test_exit_codes_are_those_of_the_code() -> None:
    text = (REFERENCE / "exit_codes.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (\d+) \| ([A-Z]+) \|", text, re.MULTILINE)
    assert {name: int(code) for code, name in rows} == {code.name: code.value for code in ExitCode}


def test_fault_codes_are_those_the_code_raises() -> None:
    raised = {
        node.value
        for path in (REPOSITORY / "medbundles").rglob("*.py")
        if path != LISTS_ONLY
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and FAULT_CODE.fullmatch(node.value)
    }
    listed = [cell for cell in first_cells(REFERENCE / "fault_codes.md") if FAULT_CODE.fullmatch(cell)]
    assert sorted(listed) == sorted(raised)


def test_keys_are_those_of_the_configurations() -> None:
    configured = set()
    for path in REPOSITORY.glob("bundles/*/configs/*.yaml"):
        if path.name in {"train.yaml", "inference.yaml"}:
            configured |= set(yaml.safe_load(path.read_text(encoding="utf-8").split("# === Components")[0]))
    listed = {key for cell in first_cells(REFERENCE / "keys.md") for key in re.findall(r"`(\w+)`", cell)}
    assert listed - {"part"} == configured - {"imports"}


@pytest.mark.parametrize(
    ("heading", "functions", "declared"),
    [
        ("samples", ["medbundles.samples.lung_nodule_ct_segmentation.write_samples"], {"cases", "seed", "workers"}),
        ("prepare", ["medbundles.prepare.luna16.prepare", "medbundles.prepare.nnunet.prepare"], {"source"}),
    ],
)
def test_options_are_those_of_the_functions(heading: str, functions: list[str], declared: set[str]) -> None:
    section = (REFERENCE / "keys.md").read_text(encoding="utf-8").split(f"\n## {heading}\n")[1].split("\n## ")[0]
    listed = set(re.findall(r"^\| `--([\w-]+)` \|", section, re.MULTILINE))
    expected = set()
    for name in functions:
        module, _, function = name.rpartition(".")
        expected |= set(inspect.signature(getattr(importlib.import_module(module), function)).parameters)
    assert listed == expected - declared - {"output"}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(REPOSITORY).as_posix())
def test_links_lead_to_files(page: Path) -> None:
    targets = re.findall(r"\]\((?!https?:|#)([^)#]+)", page.read_text(encoding="utf-8"))
    assert [target for target in targets if not (page.parent / target).exists()] == []


def test_the_list_by_hand_is_complete(
    medbundles_command: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    page = (REPOSITORY / "docs" / "how_to" / "own_data.md").read_text(encoding="utf-8")
    (example,) = re.findall(r"^```json\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    (tmp_path / "datalist.json").write_text(example)
    generator = np.random.default_rng(0)
    for record in [record for part in read_datalist(tmp_path).values() for record in part]:
        scan = generator.normal(-850, 20, (32, 32, 12)).astype(np.int16)
        scan[8:24, 8:24] = 40
        label = np.zeros(scan.shape, np.uint8)
        label[12:16, 12:16, 4:8] = 1
        for key, array in (("image", scan), ("label", label)):
            (tmp_path / record[key]).parent.mkdir(exist_ok=True)
            image = nibabel.nifti1.Nifti1Image(array, np.diag([0.7, 0.7, 2.0, 1.0]))
            image.set_sform(image.affine, code=1)
            image.to_filename(tmp_path / record[key])
    answer = medbundles_command("check", "lung_nodule_ct_segmentation", tmp_path, "--json")
    assert answer.returncode == 0, answer.stderr
    assert json.loads(answer.stdout)["kind"].startswith("prepared folder, 3 training and 1 testing")
