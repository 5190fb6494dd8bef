"""A task of the Medical Segmentation Decathlon as a prepared folder with a plan for training on it."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from medbundles.io.decathlon import read_task
from medbundles.prepare._options import SharedOptions
from medbundles.prepare._task import prepare_task
from medbundles.prepare.report import PreparationReport
from medbundles.prepare.stored_split import SEEDED


def prepare(
    source: Path,
    output: Path,
    *,
    split: str = SEEDED,
    folds: int = 5,
    test_fraction: float = 0.2,
    seed: int = 0,
    workers: int | None = None,
    overwrite: bool = False,
    allow: str | Collection[str] = (),
    skip_bad_cases: bool = False,
) -> PreparationReport:
    """Import a task and choose how to train on it; everything is checked before anything is written.

    Images, of one channel or several, and labels are linked or copied as they are. ``plan.json`` holds what was chosen
    from the training cases (voxel size, intensities, patch, whether to find the object first, mirroring), each with its
    reason; it may be edited. Cases that show the same image are in one part of the split.

    Args:
        source: ``TaskXX_Name`` with ``imagesTr labelsTr dataset.json``; nnU-Net's layout is read as well.
        output: prepared folder: ``images/ labels/ datalist.json fingerprint.json plan.json report.json``.
        split: ``seeded`` deals the cases out by ``seed``; or a JSON file with the names of the cases in ``testing`` and
            in each of ``folds``, or nnU-Net's ``splits_final.json``.
        folds: number of training folds of a seeded split.
        test_fraction: share of the training cases kept out of training, where there is no labeled test part.
        seed: of the split.
        workers: processes; the default uses the cores and the memory there are.
        overwrite: whether a prepared folder may be replaced.
        allow: fault codes that are taken as warnings.
        skip_bad_cases: leave bad cases out instead of refusing everything; they are named in the report.

    Raises:
        DataError: what the checks refuse, all at once.
        OutputConflict: the output exists or another run writes to it.
        ConfigurationError: an option that cannot be meant.
    """
    shared = SharedOptions(folds, test_fraction, seed, workers, overwrite, allow, skip_bad_cases)
    return prepare_task("decathlon", read_task, source, output, shared, split)
