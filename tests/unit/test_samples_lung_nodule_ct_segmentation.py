"""The synthetic LUNA16 data set as its readers see it."""

from __future__ import annotations

import csv
import hashlib
import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import itk
import numpy as np
import pytest

from medbundles.errors import ConfigurationError, OutputConflict
from medbundles.io.images import flip_lps, read_volume, to_index
from medbundles.samples.lung_nodule_ct_segmentation import write_samples

CASES = 6
OPTIONS: dict[str, Any] = {"matrix": 160, "extent_mm": (50, 60), "seed": 3}
SMALL: dict[str, Any] = {"matrix": 48, "extent_mm": (20, 20), "workers": 1}


@pytest.fixture(scope="module")
def samples(tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("luna16") / "samples"
    write_samples(output, cases=CASES, workers=1, **OPTIONS)
    return output


@pytest.fixture(scope="module")
def two_small_samples(tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("luna16") / "small"
    write_samples(output, cases=2, **SMALL)
    return output


def rows(file: Path) -> list[dict[str, str]]:
    with file.open(newline="", encoding="utf-8") as handle:
        return list(csv.DictReader(handle))


def digests(folder: Path) -> dict[str, str]:
    return {
        file.relative_to(folder).as_posix(): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in sorted(folder.rglob("*"))
        if file.is_file()
    }


def records(folder: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads((folder / "samples.json").read_text())["samples"]
    return found


def hu_around(folder: Path, row: dict[str, str], radius: int = 1) -> Any:
    volume = read_volume(next(folder.glob(f"subset*/{row['seriesuid']}.mhd")))
    point = flip_lps([float(row[name]) for name in ("coordX", "coordY", "coordZ")])
    center = np.rint(to_index(volume.affine, point)).astype(int)
    low = np.maximum(center - (radius, radius, 0), 0)
    high = center + np.array([radius + 1, radius + 1, 1])
    return volume.array[tuple(slice(a, b) for a, b in zip(low, high, strict=True))]


def test_folders_and_tables_are_those_of_luna16(samples: Path) -> None:
    names = {item.name for item in samples.iterdir()}
    assert names == {f"subset{n}" for n in range(10)} | {
        "annotations.csv", "annotations_with_malignancy.csv", "annotations_with_type.csv", "samples.json"
    }  # fmt: skip


def test_every_scan_is_a_signed_16_bit_axial_image_for_itk(samples: Path) -> None:
    headers = sorted(samples.glob("subset*/*.mhd"))
    assert len(headers) == CASES
    image = itk.imread(str(headers[0]))
    assert np.asarray(itk.array_from_matrix(image.GetDirection())).tolist() == np.eye(3).tolist()
    assert itk.array_from_image(image).dtype == np.int16


def test_series_uids_lie_outside_every_archives_root(samples: Path) -> None:
    assert all(file.stem.startswith("2.25.") and len(file.stem) <= 64 for file in samples.glob("subset*/*.mhd"))


def test_offsets_differ_between_scans(samples: Path) -> None:
    lines = {
        next(line for line in file.read_text().splitlines() if line.startswith("Offset"))
        for file in samples.glob("subset*/*.mhd")
    }
    assert len(lines) == CASES


def test_annotations_fall_on_voxels_denser_than_lung(samples: Path) -> None:
    hollow = {nodule["center_lps_mm"][0] for record in records(samples) for nodule in record["nodules"]
              if nodule["cavitary"]}  # fmt: skip
    full = [row for row in rows(samples / "annotations.csv") if float(row["coordX"]) not in hollow]
    assert full
    assert all(hu_around(samples, row).mean() > -720 for row in full)


def test_nodules_border_on_air(samples: Path) -> None:
    reach = 8
    assert all(hu_around(samples, row, reach).min() < -700 for row in rows(samples / "annotations.csv"))


def test_diameters_lie_in_the_declared_range(samples: Path) -> None:
    found = [float(row["diameter_mm"]) for row in rows(samples / "annotations.csv")]
    assert found
    assert 4 <= min(found) <= max(found) <= 30


def test_every_fifth_scan_has_no_nodule(samples: Path) -> None:
    assert [record["case"] for record in records(samples) if not record["nodules"]] == [1]


def test_malignant_is_what_two_readers_rated_four_or_higher(samples: Path) -> None:
    for row in rows(samples / "annotations_with_malignancy.csv"):
        ratings = json.loads(row["mal_details"])
        assert row["mal_bool"] == str(sum(rating >= 4 for rating in ratings) >= 2)
        assert int(row["len_mal_details"]) == len(ratings)


def test_malignancy_table_has_the_public_tables_columns(samples: Path, real_data: Path) -> None:
    def header(folder: Path) -> str:
        return (folder / "annotations_with_malignancy.csv").read_text().splitlines()[0]

    assert header(samples) == header(real_data / "luna_csv")


def test_bounds_hold_the_center(samples: Path) -> None:
    for row in rows(samples / "annotations_with_malignancy.csv"):
        for axis in "XYZ":
            assert float(row[f"bboxLow{axis}"]) < float(row[f"coord{axis}"]) < float(row[f"bboxHigh{axis}"])


def test_a_scan_depends_neither_on_the_number_of_cases_nor_of_workers(two_small_samples: Path, tmp_path: Path) -> None:
    write_samples(tmp_path / "other", cases=3, **{**SMALL, "workers": 2})
    fewer = {name: digest for name, digest in digests(two_small_samples).items() if name.startswith("subset")}
    assert len(fewer) == 4
    assert fewer.items() <= digests(tmp_path / "other").items()


def test_another_seed_gives_other_series(two_small_samples: Path, tmp_path: Path) -> None:
    write_samples(tmp_path / "other", cases=1, seed=4, **SMALL)
    known = {file.name for file in two_small_samples.rglob("*.mhd")}
    assert not known & {file.name for file in tmp_path.rglob("*.mhd")}


class TestContinuing:
    """A folder that was written before."""

    @pytest.fixture
    def folder(self, two_small_samples: Path, tmp_path: Path) -> Path:
        return Path(shutil.copytree(two_small_samples, tmp_path / "samples"))

    def test_finished_scans_are_kept(self, folder: Path) -> None:
        before = {file: file.stat().st_mtime_ns for file in folder.rglob("*.raw")}
        write_samples(folder, cases=3, **SMALL)
        assert before.items() <= {file: file.stat().st_mtime_ns for file in folder.rglob("*.raw")}.items()
        assert len(records(folder)) == 3

    def test_a_truncated_scan_is_made_again(self, folder: Path) -> None:
        file = min(folder.rglob("*.raw"))
        complete = digests(folder)
        file.write_bytes(file.read_bytes()[:100])
        write_samples(folder, cases=2, **SMALL)
        assert digests(folder) == complete

    def test_other_settings_are_refused(self, folder: Path) -> None:
        with pytest.raises(OutputConflict, match=r"other settings .*seed"):
            write_samples(folder, cases=2, seed=9, **SMALL)

    def test_overwriting_replaces_the_scans_and_leaves_foreign_files(self, folder: Path) -> None:
        (folder / "subset0" / "mine.raw").write_bytes(b"mine")
        write_samples(folder, cases=1, seed=9, overwrite=True, **SMALL)
        assert len(list(folder.rglob("*.mhd"))) == 1
        assert (folder / "subset0" / "mine.raw").read_bytes() == b"mine"

    def test_fewer_scans_than_there_are_is_refused(self, folder: Path) -> None:
        with pytest.raises(OutputConflict, match="holds 2 scans"):
            write_samples(folder, cases=1, **SMALL)

    def test_nothing_is_left_of_interrupted_writing(self, folder: Path) -> None:
        assert not [file for file in folder.rglob(".*") if file.is_file()]


def test_a_foreign_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(OutputConflict, match="no samples of this program"):
        write_samples(tmp_path, cases=1)
    assert [item.name for item in tmp_path.iterdir()] == ["notes.txt"]


def test_real_annotations_are_never_overwritten(tmp_path: Path) -> None:
    (tmp_path / "annotations.csv").write_text("seriesuid\n")
    with pytest.raises(OutputConflict):
        write_samples(tmp_path, cases=1, overwrite=True)


def test_a_file_as_output_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputConflict, match="is a file"):
        write_samples(tmp_path / "file", cases=1)


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("cases", 0),
        ("seed", -1),
        ("matrix", 8),
        ("pixel_spacing_mm", 0.0),
        ("extent_mm", (200, 100)),
        ("extent_mm", [1]),
    ],
)
def test_options_out_of_range_are_refused_before_anything_is_written(
    tmp_path: Path, option: str, value: int | float | Sequence[float]
) -> None:
    arguments: dict[str, Any] = {option: value}
    with pytest.raises(ConfigurationError, match=option):
        write_samples(tmp_path / "new", **arguments)
    assert not (tmp_path / "new").exists()
