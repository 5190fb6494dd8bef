"""An nnU-Net raw folder (``DatasetXXX_Name``) as a prepared folder, so that its data trains any bundle."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from medbundles.io.nnunet import read_raw_dataset
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
    """Import an nnU-Net raw folder; everything is checked before anything is written.

    ``imagesTs`` with labels in ``labelsTs`` is the test part, and then nothing of ``imagesTr`` is kept out of training.
    Test images without labels are not imported: inference reads them where they are.

    Args:
        source: ``DatasetXXX_Name`` with ``imagesTr labelsTr dataset.json`` and optionally ``imagesTs labelsTs``.
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
    return prepare_task("nnunet", read_raw_dataset, source, output, shared, split)
