"""A small synthetic task in the layout of the Medical Segmentation Decathlon: livers with lesions in CT.

``imagesTr/liver_000.nii.gz``, ``labelsTr/liver_000.nii.gz`` and ``dataset.json``: upper abdomens of 2.4 to 3.2 mm in
slices of 3 to 5 mm. ``samples.json`` adds what no scanner tells: the lesions' places and sizes.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from medbundles.io.atomic import write_json
from medbundles.io.dataset_json import DATASET_FILE
from medbundles.samples.writing.folder import SampleFolder
from medbundles.samples.writing.options import refuse_out_of_range
from medbundles.samples.writing.parallel import run_all

DEFAULT_CASES = 20
# The kind of source that `medbundles prepare` takes them for.
PREPARED_AS = "decathlon"
# Changes whenever the same seed gives other images, so that a folder is never continued with another generator.
GENERATOR_VERSION = 1
LABELS = {"0": "background", "1": "liver", "2": "lesion"}


@dataclass(frozen=True)
class _Task:
    output: Path
    seed: int
    case: int


def write_samples(
    output: Path, cases: int = DEFAULT_CASES, seed: int = 0, workers: int | None = None, overwrite: bool = False
) -> None:
    """Write a task; case k depends on the seed and k, not on the number of cases or workers.

    Cases that are already there in full are kept, so an interrupted call is continued by the same call.

    Args:
        output: folder to write to.
        cases: number of cases.
        seed: the same seed gives the same files.
        workers: processes; None takes every usable core. Each needs .5 GB.
        overwrite: replace samples made with other settings.

    Raises:
        ConfigurationError: an option out of range (CFG002).
        OutputConflict: the folder holds other files, samples made with other settings or more cases than asked for.
    """
    refuse_out_of_range((("cases", cases >= 1, "1 or more"), ("seed", seed >= 0, "0 or more")))
    folder = SampleFolder(Path(output), {"generator": GENERATOR_VERSION, "seed": seed}, overwrite)
    folder.refuse_more_than(cases)
    missing = [number for number in range(cases) if not folder.is_complete(number)]
    folder.save()  # what an interruption leaves is known as ours
    tasks = [_Task(folder.path, seed, case) for case in missing]
    for record, files in run_all(_write_case, tasks, workers, "abdomens"):
        folder.add(record, files)
    write_json(folder.path / DATASET_FILE, _describe(cases, seed))


def case_name(case: int) -> str:
    """Return a case's name."""
    return f"liver_{case:03d}"


def _describe(cases: int, seed: int) -> dict[str, Any]:
    files = [f"{case_name(case)}.nii.gz" for case in range(cases)]
    return {
        "name": "SyntheticLiver",
        "description": f"synthetic livers with lesions, no patients: medbundles samples, seed {seed}",
        "licence": "CC0",
        "tensorImageSize": "3D",
        "modality": {"0": "CT"},
        "labels": LABELS,
        "numTraining": cases,
        "numTest": 0,
        "training": [{"image": f"./imagesTr/{file}", "label": f"./labelsTr/{file}"} for file in files],
        "test": [],
    }


def _write_case(task: _Task) -> tuple[dict[str, Any], list[Path]]:
    import torch

    from medbundles.io.images import write_volume
    from medbundles.samples.abdomen.case import make_case

    torch.set_num_threads(1)  # every worker has a core of its own
    made = make_case(task.seed, task.case)
    files = []
    for folder, volume in (("imagesTr", made.image), ("labelsTr", made.label)):
        files.append(task.output / folder / f"{case_name(task.case)}.nii.gz")
        write_volume(files[-1], volume, made.affine)
    return made.record | {"name": case_name(task.case)}, files
