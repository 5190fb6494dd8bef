"""Synthetic chest CTs with nodules in LUNA16's own layout.

``subset0`` ... ``subset9`` hold ``<seriesuid>.mhd`` and ``.raw``; ``annotations.csv`` and
``annotations_with_malignancy.csv`` list the nodules in LPS mm; ``samples.json`` adds what no reader could tell: the
type and attachment of every nodule, the look-alikes, and how the scan was made.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from medbundles.samples.writing.folder import SampleFolder
from medbundles.samples.writing.luna16 import subset_name, write_tables
from medbundles.samples.writing.options import refuse_out_of_range
from medbundles.samples.writing.parallel import run_all

DEFAULT_CASES = 16
# The kind of source that `medbundles prepare` takes them for.
PREPARED_AS = "luna16"
# Changes whenever the same seed gives other scans, so that a folder is never continued with another generator.
GENERATOR_VERSION = 3


@dataclass(frozen=True)
class _Task:
    output: Path
    seed: int
    case: int
    matrix: int
    pixel_spacing_mm: float | None
    extent_mm: tuple[float, float]


def write_samples(
    output: Path,
    cases: int = DEFAULT_CASES,
    seed: int = 0,
    workers: int | None = None,
    matrix: int = 384,
    pixel_spacing_mm: float | None = None,
    extent_mm: Sequence[float] = (100.0, 220.0),
    overwrite: bool = False,
) -> None:
    """Write a data set; scan k depends on the seed, k and the options, not on the number of cases or workers.

    Scans that are already there in full are kept, so an interrupted call is continued by the same call.

    Args:
        output: folder to write to.
        cases: number of scans; every fifth has no nodules.
        seed: the same seed gives the same files.
        workers: processes; None takes every usable core.
        matrix: rows and columns of a slice, 32 to 1024.
        pixel_spacing_mm: edge of a pixel; None draws a field of view that covers the lungs.
        extent_mm: smallest and largest range of heights a scan covers.
        overwrite: replace samples made with other settings.

    Raises:
        ConfigurationError: an option out of range (CFG002).
        OutputConflict: the folder holds other files, samples made with other settings or more scans than asked for.
    """
    low, high = _checked(cases, seed, matrix, pixel_spacing_mm, extent_mm)
    settings: dict[str, Any] = {"matrix": matrix, "pixel_spacing_mm": pixel_spacing_mm, "extent_mm": [low, high]}
    parameters = {"generator": GENERATOR_VERSION, "seed": seed, **settings}
    folder = SampleFolder(Path(output), parameters, overwrite)
    folder.refuse_more_than(cases, "scans")
    missing = [number for number in range(cases) if not folder.is_complete(number)]
    tasks = [_Task(folder.path, seed, number, matrix, pixel_spacing_mm, (low, high)) for number in missing]
    folder.save()  # what an interruption leaves is known as ours
    for record, files in run_all(_write_scan, tasks, workers, "chest CTs"):
        folder.add(record, files)
    for number in range(10):
        (folder.path / f"subset{number}").mkdir(exist_ok=True)
    write_tables(folder.path, folder.records.values())


def _checked(
    cases: int, seed: int, matrix: int, pixel_spacing_mm: float | None, extent_mm: Sequence[float]
) -> tuple[float, float]:
    """Return the extent as two numbers, or refuse all options that are out of range at once."""
    low, high = (float(extent_mm[0]), float(extent_mm[1])) if len(extent_mm) == 2 else (0.0, 0.0)
    rules = (
        ("cases", cases >= 1, "1 or more"),
        ("seed", seed >= 0, "0 or more"),
        ("matrix", 32 <= matrix <= 1024, "32 to 1024"),
        ("pixel_spacing_mm", pixel_spacing_mm is None or 0.3 <= pixel_spacing_mm <= 8, "0.3 to 8 mm"),
        ("extent_mm", 20 <= low <= high <= 300, "two numbers, 20 <= smallest <= largest <= 300"),
    )
    refuse_out_of_range(rules)
    return low, high


def _write_scan(task: _Task) -> tuple[dict[str, Any], list[Path]]:
    from medbundles.samples.chest.scan import make_scan
    from medbundles.samples.writing.metaimage import write_metaimage

    scan = make_scan(task.seed, task.case, task.matrix, task.pixel_spacing_mm, task.extent_mm)
    header = task.output / subset_name(task.case) / f"{scan.record['seriesuid']}.mhd"
    write_metaimage(header, scan.array, scan.spacing_mm, scan.offset_lps_mm)
    return scan.record, [header, header.with_suffix(".raw")]
