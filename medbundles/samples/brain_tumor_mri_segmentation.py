"""Synthetic brains with tumors in the layout of the BraTS challenges since 2023.

``BraTS-GLI-00000-000/BraTS-GLI-00000-000-t1n.nii.gz``, ``-t1c``, ``-t2w``, ``-t2f`` and ``-seg``: skull-stripped, 240 x
240 x 155 voxels of 1 mm. ``samples.json`` adds what no scanner tells: the tumors and their volumes.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy.typing as npt

from medbundles.samples.writing.folder import SampleFolder
from medbundles.samples.writing.options import refuse_out_of_range
from medbundles.samples.writing.parallel import run_all

DEFAULT_CASES = 20
# The kind of source that `medbundles prepare` takes them for.
PREPARED_AS = "brats"
# Changes whenever the same seed gives other images, so that a folder is never continued with another generator.
GENERATOR_VERSION = 2


@dataclass(frozen=True)
class _Task:
    output: Path
    seed: int
    case: int


def write_samples(
    output: Path, cases: int = DEFAULT_CASES, seed: int = 0, workers: int | None = None, overwrite: bool = False
) -> None:
    """Write a data set; case k depends on the seed and k, not on the number of cases or workers.

    Cases that are already there in full are kept, so an interrupted call is continued by the same call.

    Args:
        output: folder to write to.
        cases: number of cases.
        seed: the same seed gives the same files.
        workers: processes; None takes every usable core. Each needs 2 GB.
        overwrite: replace samples made with other settings.

    Raises:
        ConfigurationError: an option out of range (CFG002).
        EnvironmentFailure: the extra ``dwi``, which brings the template, is not installed.
        OutputConflict: the folder holds other files, samples made with other settings or more cases than asked for.
    """
    refuse_out_of_range((("cases", cases >= 1, "1 or more"), ("seed", seed >= 0, "0 or more")))
    folder = SampleFolder(Path(output), {"generator": GENERATOR_VERSION, "seed": seed}, overwrite)
    folder.refuse_more_than(cases)
    missing = [number for number in range(cases) if not folder.is_complete(number)]
    folder.save()  # what an interruption leaves is known as ours
    for record, files in run_all(_write_case, [_Task(folder.path, seed, case) for case in missing], workers, "brains"):
        folder.add(record, files)


def case_name(case: int) -> str:
    """Return a case's name: the challenge, the person, the time point."""
    return f"BraTS-GLI-{case:05d}-000"


def _write_case(task: _Task) -> tuple[dict[str, Any], list[Path]]:
    import torch

    from medbundles.io.images import write_volume
    from medbundles.samples.tumor.anatomy import AFFINE
    from medbundles.samples.tumor.case import make_case

    torch.set_num_threads(1)  # every worker has a core of its own
    made = make_case(task.seed, task.case)
    name = case_name(task.case)
    volumes: dict[str, npt.NDArray[Any]] = {**made.images, "seg": made.label}
    files = []
    for ending, volume in volumes.items():
        files.append(task.output / name / f"{name}-{ending}.nii.gz")
        write_volume(files[-1], volume, AFFINE)
    return made.record | {"name": name}, files
