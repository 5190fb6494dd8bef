"""Finding raw diffusion MRI: in a BIDS data set, or in a folder for each case."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from medbundles.errors import DataError, Finding
from medbundles.io.diffusion_bids import NOT_RAW, bids_case, bids_images, is_magnitude, unused_masks
from medbundles.io.diffusion_case import DiffusionCase, is_hidden, nifti_files
from medbundles.io.diffusion_folders import folder_cases, is_diffusion

__all__ = ["DiffusionCase", "find_diffusion_cases", "is_bids"]


def is_bids(root: Path) -> bool:
    """Tell whether a folder is a BIDS data set with diffusion images, or one of its subjects' folders."""
    return bool(bids_images(root))


def find_diffusion_cases(root: Path, *, with_t1w: bool = True) -> tuple[list[DiffusionCase], list[Finding]]:
    """Return all scans of a folder, sorted by name, and findings on files that were chosen, ambiguous or left out.

    Args:
        root: a BIDS data set; a folder with a folder for each case, or one such folder, that holds ``dwi.nii.gz``,
            ``dwi.bval``, ``dwi.bvec`` and perhaps ``mask.nii.gz`` and ``t1w.nii.gz`` (any of them after ``CASE_``),
            or any NIfTI with a ``.bval`` and a ``.bvec`` of its name.
        with_t1w: whether a T1w is looked for.

    Raises:
        DataError: no diffusion image at all (TRN011).
    """
    images = bids_images(root)
    if images:
        found = [([case], notes) for case, notes in (bids_case(image, root, with_t1w) for image in images)]
    else:
        found = [folder_cases(folder, with_t1w) for folder in _case_folders(root)]
    cases = [case for of_one, _ in found for case in of_one]
    visible = list(_visible_files(root))
    left = _left_out(root, visible, {case.dwi for case in cases})
    if not cases:
        raise DataError(findings=[_nothing(root, left)])
    findings = [finding for _, of_one in found for finding in of_one]
    if images:
        findings += unused_masks(root, visible, {case.mask for case in cases})
    return cases, [*findings, *_left_out_findings(left, bool(images))]


def _case_folders(root: Path) -> list[Path]:
    if not root.is_dir():
        return []
    return [root, *sorted(path for path in root.iterdir() if path.is_dir() and not is_hidden(path))]


def _left_out(root: Path, visible: Iterable[list[Path]], taken: set[Path]) -> list[Path]:
    """Return diffusion images that no case has, and gradients beside images of other names."""
    left: list[Path] = []
    for files in visible:
        images = nifti_files(files)
        tables = [path for path in files if path.suffix in (".bval", ".bvec") or path.name == "bvecs"]
        if not images or not tables:
            continue  # a mean or a synthetic image may be called dwi, too
        unused = [path for path in images if path not in taken and is_diffusion(path)]
        left += unused or ([] if taken.intersection(images) else tables)
    return [path.relative_to(root) for path in left]


def _visible_files(root: Path) -> Iterator[list[Path]]:
    """Yield the files of one folder after the other."""
    for name, folders, files in os.walk(root):
        folders[:] = sorted(folder for folder in folders if not is_hidden(Path(folder)))
        yield [Path(name, file) for file in sorted(files) if not is_hidden(Path(file))]


def _left_out_findings(left: list[Path], bids: bool) -> list[Finding]:
    expected = [path for path in left if bids and (path.parts[0] in NOT_RAW or not is_magnitude(path))]
    surprising = [path for path in left if path not in expected]
    own = "bring each into the form of the others" if bids else "give each a folder CASE/ of its own beside the others"
    fix = f"{own}, or work on its folder alone"
    findings = []
    if surprising:
        findings.append(Finding("TRN011", "warning", f"diffusion images left out: {_listed(surprising)}", fix))
    if expected:
        message = f"left out, no raw magnitude images: {_listed(expected)}"
        findings.append(Finding("TRN011", "note", message))
    return findings


def _nothing(root: Path, left: list[Path]) -> Finding:
    fix = "give a BIDS data set, or a folder CASE/ with dwi.nii.gz, dwi.bval and dwi.bvec for each case"
    there = f" where they are looked for; there are {_listed(left)}" if left else ""
    return Finding("TRN011", "error", f"no diffusion images in {root}{there}", fix)


def _listed(paths: list[Path]) -> str:
    return ", ".join(path.as_posix() for path in paths)
