"""Synthetic heads in a BIDS data set: a T1w and a diffusion MRI of each person, from scanners that differ.

``sub-001/anat/sub-001_T1w.nii.gz``, ``sub-001/dwi/sub-001_dwi.nii.gz`` with ``.bval`` and ``.bvec``; the column
``site`` of ``participants.tsv`` tells the scanners apart; ``samples.json`` adds what no scanner tells.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from medbundles.samples.head.sites import SITES
from medbundles.samples.writing.bids import subject_name, write_description, write_images
from medbundles.samples.writing.folder import SampleFolder
from medbundles.samples.writing.options import refuse_out_of_range
from medbundles.samples.writing.parallel import run_all

DEFAULT_CASES = 12
# The kind of source that `medbundles prepare` takes them for.
PREPARED_AS = "dwi_t1w"
# Changes whenever the same seed gives other images, so that a folder is never continued with another generator.
GENERATOR_VERSION = 2
SITE_NAMES = tuple(site.name for site in SITES)


@dataclass(frozen=True)
class _Task:
    output: Path
    seed: int
    case: int
    site: str


def write_samples(
    output: Path,
    cases: int = DEFAULT_CASES,
    seed: int = 0,
    workers: int | None = None,
    sites: Sequence[str] = SITE_NAMES,
    overwrite: bool = False,
) -> None:
    """Write a data set; person k depends on the seed, k and the sites, not on the number of cases or workers.

    People who are already there in full are kept, so an interrupted call is continued by the same call.

    Args:
        output: folder to write to.
        cases: number of people.
        seed: the same seed gives the same files.
        workers: processes; None takes every usable core. Each needs 2 GB.
        sites: where they are scanned, in turn: some of ``north``, ``east``, ``south``, ``west``.
        overwrite: replace samples made with other settings.

    Raises:
        ConfigurationError: an option out of range (CFG002).
        EnvironmentFailure: the extra ``dwi`` is not installed.
        OutputConflict: the folder holds other files, samples made with other settings or more people than asked for.
    """
    _check(cases, seed, sites)
    parameters = {"generator": GENERATOR_VERSION, "seed": seed, "sites": list(sites)}
    folder = SampleFolder(Path(output), parameters, overwrite)
    folder.refuse_more_than(cases, "people")
    missing = [number for number in range(cases) if not folder.is_complete(number)]
    tasks = [_Task(folder.path, seed, number, sites[number % len(sites)]) for number in missing]
    folder.save()  # what an interruption leaves is known as ours
    for record, files in run_all(_write_person, tasks, workers, "heads"):
        folder.add(record, files)
    people = (folder.records[number] for number in sorted(folder.records))
    rows = [{"participant_id": person["subject"], "site": person["site"]} for person in people]
    write_description(folder.path, "Synthetic heads", rows)


def _check(cases: int, seed: int, sites: Sequence[str]) -> None:
    """Refuse all options that are out of range at once."""
    unknown = [name for name in sites if name not in SITE_NAMES]
    rules = (
        ("cases", cases >= 1, "1 or more"),
        ("seed", seed >= 0, "0 or more"),
        ("sites", bool(sites) and not unknown, f"some of {', '.join(SITE_NAMES)}"),
    )
    refuse_out_of_range(rules)


def _write_person(task: _Task) -> tuple[dict[str, Any], list[Path]]:
    from medbundles.samples.head.scan import make_head

    site = SITES[SITE_NAMES.index(task.site)]
    head = make_head(task.seed, task.case, site)
    subject = subject_name(task.case)
    sidecars = {
        "T1w": {"Manufacturer": "synthetic", "InversionTime": site.inversion_time_ms / 1000},
        "dwi": {"Manufacturer": "synthetic", "EchoTime": site.echo_time_ms / 1000, "PhaseEncodingDirection": "j"},
    }
    files = write_images(
        task.output,
        subject,
        (head.t1w, head.t1w_affine),
        (head.dwi, head.dwi_affine),
        (head.b_values, head.directions),
        sidecars,
    )
    return head.record | {"subject": subject}, files
