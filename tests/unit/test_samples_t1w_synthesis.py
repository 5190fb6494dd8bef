"""The BIDS data set of synthetic heads: its files, its continuation, its refusals."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from medbundles.errors import ConfigurationError, OutputConflict
from medbundles.io.gradients import gradient_files, read_gradients
from medbundles.io.headers import read_header
from medbundles.samples import t1w_synthesis
from medbundles.samples.head.sites import SITES

pytest.importorskip("dipy", reason="the extra dwi is not installed")

Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Write:
    """Write people whose images have few voxels."""
    tiny = tuple(
        replace(site, spacing_mm=(12.0, 12.0, 12.0), t1w_spacing_mm=(12.0, 12.0, 12.0), directions=6, unweighted=1)
        for site in SITES
    )
    monkeypatch.setattr(t1w_synthesis, "SITES", tiny)

    def run(cases: int = 2, **options: object) -> Path:
        t1w_synthesis.write_samples(tmp_path / "bids", cases, workers=1, **options)
        return tmp_path / "bids"

    return run


def test_every_person_has_the_files_of_bids(write: Write) -> None:
    root = write()
    names = {path.relative_to(root).as_posix() for path in (root / "sub-002").rglob("*") if path.is_file()}
    assert names == {
        "sub-002/anat/sub-002_T1w.nii.gz",
        "sub-002/anat/sub-002_T1w.json",
        *(f"sub-002/dwi/sub-002_dwi.{suffix}" for suffix in ("nii.gz", "json", "bval", "bvec")),
    }
    assert json.loads((root / "dataset_description.json").read_text())["BIDSVersion"]


def test_the_gradients_fit_the_volumes(write: Write) -> None:
    image = write(cases=1) / "sub-001" / "dwi" / "sub-001_dwi.nii.gz"
    table = read_gradients(*gradient_files(image))
    assert len(table) == read_header(image).shape[3] == 7
    assert table.b_values.tolist() == [0, *[1000] * 6]


def test_scanners_take_turns_and_the_table_tells_them_apart(write: Write) -> None:
    with (write(cases=4) / "participants.tsv").open() as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    assert [row["site"] for row in rows] == ["north", "east", "south", "west"]
    assert [row["participant_id"] for row in rows] == ["sub-001", "sub-002", "sub-003", "sub-004"]


def test_a_single_scanner_can_be_chosen(write: Write) -> None:
    index = json.loads((write(sites=["south"]) / "samples.json").read_text())
    assert {person["site"] for person in index["samples"]} == {"south"}


def test_people_who_are_there_are_kept(write: Write) -> None:
    image = write() / "sub-001" / "anat" / "sub-001_T1w.nii.gz"
    before = image.stat().st_mtime_ns
    (write().parent / "bids" / "sub-002" / "dwi" / "sub-002_dwi.bval").unlink()
    root = write(cases=3)
    assert image.stat().st_mtime_ns == before
    assert (root / "sub-002" / "dwi" / "sub-002_dwi.bval").is_file()
    assert (root / "sub-003").is_dir()


def test_another_seed_in_the_same_folder_is_refused(write: Write) -> None:
    write()
    with pytest.raises(OutputConflict, match="other settings"):
        write(seed=1)


def test_fewer_people_than_there_are_is_refused(write: Write) -> None:
    write()
    with pytest.raises(OutputConflict, match="holds 2 people"):
        write(cases=1)


def test_options_out_of_range_are_refused_all_at_once(write: Write) -> None:
    with pytest.raises(ConfigurationError) as refusal:
        write(cases=0, seed=-1, sites=["moon"])
    assert [finding.message.split()[0] for finding in refusal.value.findings] == ["cases", "seed", "sites"]
