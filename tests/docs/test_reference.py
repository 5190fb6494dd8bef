"""Reference pages say what the code does; links lead somewhere."""

from __future__ import annotations

import ast
import importlib
import inspect
import json
import re
import shlex
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import nibabel
import numpy as np
import pytest
import yaml

from medbundles.checks.verdict import ALLOWABLE_CODES
from medbundles.cli.prepare import KINDS
from medbundles.errors import ExitCode
from medbundles.io.datalist import read_datalist

REPOSITORY = Path(__file__).resolve().parents[2]
BUNDLES = sorted(path.name for path in (REPOSITORY / "bundles").iterdir() if path.is_dir())
Command = Callable[..., subprocess.CompletedProcess[str]]
REFERENCE = REPOSITORY / "docs" / "reference"
FAULT_CODE = re.compile(r"(?:NII|DCM|LUN|DWI|ROI|TRN|CFG|TRU)\d{3}")
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


def texts_of_the_code() -> Iterator[str]:
    """Every text in the package that is no documentation of the code itself."""
    for path in (REPOSITORY / "medbundles").rglob("*.py"):
        if path != LISTS_ONLY:
            tree = ast.parse(path.read_text(encoding="utf-8"))
            documentation = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
            for node in ast.walk(tree):
                if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in documentation:
                    yield node.value


def test_fault_codes_are_those_the_code_raises() -> None:
    raised = {code for text in texts_of_the_code() for code in FAULT_CODE.findall(text)}
    page = (REFERENCE / "fault_codes.md").read_text(encoding="utf-8").partition("\n## Images")[2]
    listed = re.findall(r"^\| ([A-Z]{3}\d{3}) \|", page, re.MULTILINE)
    assert sorted(listed) == sorted(raised)


def test_the_codes_that_can_be_allowed_are_those_of_the_code() -> None:
    page = (REFERENCE / "fault_codes.md").read_text(encoding="utf-8")
    allowing, _, all_codes = page.partition("\n## Images")
    listed = set(re.findall(r"^\| ([A-Z]{3}\d{3}) \|", allowing, re.MULTILINE))
    marked = set(re.findall(r"^\| ([A-Z]{3}\d{3}) \|.*can be allowed", all_codes, re.MULTILINE))
    raised = {code for text in texts_of_the_code() for code in FAULT_CODE.findall(text)}
    assert listed == marked == ALLOWABLE_CODES & raised


def test_keys_are_those_of_the_configurations() -> None:
    configured = set()
    for path in REPOSITORY.glob("bundles/*/configs/*.yaml"):
        overlays = {"second_stage.yaml", "malignancy.yaml", "roi_stage.yaml", "vox2vox.yaml"}
        if path.name in {"train.yaml", "inference.yaml", *overlays}:
            keys = yaml.safe_load(path.read_text(encoding="utf-8").split("# === Components")[0])
            configured |= {key.removeprefix("+") for key in keys}  # "+": an overlay adds to a key's entries
    listed = {key for cell in first_cells(REFERENCE / "keys.md") for key in re.findall(r"`(\w+)`", cell)}
    assert listed - {"part", "choose_cleaning", "tissue", "table", "most_per_scan"} == configured - {"imports"}


@pytest.mark.parametrize(
    ("heading", "functions", "declared"),
    [
        ("samples", [f"medbundles.samples.{name}.write_samples" for name in BUNDLES], {"cases", "seed", "workers"}),
        ("prepare", [f"medbundles.prepare.{kind}.prepare" for kind in KINDS], {"source"}),
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


def write_the_list_by_hand(folder: Path, label_moved_by: float = 0.0) -> None:
    """Write the example of ``own_data.md`` with small scans; the labels can be moved along z, in mm."""
    page = (REPOSITORY / "docs" / "how_to" / "own_data.md").read_text(encoding="utf-8")
    (example,) = re.findall(r"^```json\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    (folder / "datalist.json").write_text(example)
    generator = np.random.default_rng(0)
    for record in [record for part in read_datalist(folder).values() for record in part]:
        scan = generator.normal(-850, 20, (32, 32, 12)).astype(np.int16)
        scan[8:24, 8:24] = 40
        label = np.zeros(scan.shape, np.uint8)
        label[12:16, 12:16, 4:8] = 1
        for key, array in (("image", scan), ("label", label)):
            (folder / record[key]).parent.mkdir(exist_ok=True)
            affine = np.diag([0.7, 0.7, 2.0, 1.0])
            affine[2, 3] = label_moved_by * (key == "label" and record["case"] == "anna")
            image = nibabel.nifti1.Nifti1Image(array, affine)
            image.set_sform(image.affine, code=1)
            image.to_filename(folder / record[key])


def test_the_list_by_hand_is_complete(medbundles_command: Command, tmp_path: Path) -> None:
    write_the_list_by_hand(tmp_path)
    answer = medbundles_command("check", "lung_nodule_ct_segmentation", tmp_path, "--json")
    assert answer.returncode == 0, answer.stderr
    assert json.loads(answer.stdout)["kind"].startswith("prepared folder, 3 training and 1 testing")


def test_the_example_of_a_refusal_is_what_the_command_says(medbundles_command: Command, tmp_path: Path) -> None:
    page = (REFERENCE / "exit_codes.md").read_text(encoding="utf-8")
    command, message = re.findall(r"^```\w*\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    (tmp_path / "my_data").mkdir()
    write_the_list_by_hand(tmp_path / "my_data", label_moved_by=4.0)
    answer = medbundles_command(*shlex.split(command)[1:], cwd=tmp_path)
    assert answer.returncode == ExitCode.DATA
    assert answer.stderr == message
