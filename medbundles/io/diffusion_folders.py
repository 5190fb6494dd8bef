"""Diffusion MRI in a folder for each case, as converters from DICOM write it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from medbundles.errors import Finding
from medbundles.io.diffusion_case import DiffusionCase, choose, nifti_files
from medbundles.io.gradients import gradient_files
from medbundles.io.grids import case_name

DIFFUSION = re.compile(r"(.*[_\-. ])?dwi", re.IGNORECASE)


def folder_cases(folder: Path, with_t1w: bool = True) -> tuple[list[DiffusionCase], list[Finding]]:
    """Return the scans of one folder, and findings on what was chosen among several files.

    Args:
        folder: its name is the case's; of several scans each is a case ``FOLDER_FILE`` of the same person.
        with_t1w: whether a T1w is looked for.
    """
    files = nifti_files(path for path in folder.iterdir() if path.is_file())
    images = _scans(folder.resolve().name, files)
    found = [_case(folder, image, files, len(images) > 1, with_t1w) for image in images]
    return [case for case, _ in found], [finding for _, findings in found for finding in findings]


def is_diffusion(image: Path) -> bool:
    """Tell whether an image is called ``dwi`` or ``..._dwi``, or has a ``.bval`` or ``.bvec`` file of its own."""
    return bool(DIFFUSION.fullmatch(case_name(image))) or any(path.is_file() for path in gradient_files(image))


def _scans(folder: str, files: Sequence[Path]) -> list[Path]:
    """Return the image called ``dwi``, or else ``FOLDER_dwi``, or else all with gradients, or else those without."""
    for name in ("dwi", f"{folder}_dwi"):
        if called_so := _called(files, name):
            return called_so
    scans = [path for path in files if is_diffusion(path)]
    return [path for path in scans if all(file.is_file() for file in gradient_files(path))] or scans


def _case(
    folder: Path, image: Path, files: Sequence[Path], several: bool, with_t1w: bool
) -> tuple[DiffusionCase, list[Finding]]:
    person, scan = folder.resolve().name, case_name(image)
    # Files that are called dwi twice (.nii and .nii.gz) share their name, which is refused.
    name = f"{person}_{scan}" if several and scan.casefold() not in ("dwi", f"{person}_dwi".casefold()) else person
    others = [path for path in files if not is_diffusion(path)]
    own = [_called(files, f"{scan}_mask")] if several else []
    brains = ["brain_mask", f"{person}_brain_mask", f"{scan}_brain_mask"]
    masks = [*own, _called(files, "mask"), _called(files, f"{person}_mask", f"{scan}_mask"), _called(files, *brains)]
    mask, findings = choose(masks, "mask", name)
    other_masks = [path.name for path in others if "mask" in path.name.lower()]
    if mask is None and other_masks:
        message = f"not taken for the brain: {', '.join(other_masks)}"
        findings.append(Finding("NII008", "note", message, "name the brain's mask mask.nii.gz", case=name))
    t1w: Path | None = None
    if with_t1w:
        named = [path for path in others if "t1w" in path.name.lower() and "mask" not in path.name.lower()]
        t1w, wrong = choose([_called(others, "t1w"), _called(others, f"{person}_t1w"), named], "t1w", name)
        findings += wrong
    return DiffusionCase(name, person, image, *gradient_files(image), mask, t1w), findings


def _called(files: Sequence[Path], *names: str) -> list[Path]:
    wanted = {name.casefold() for name in names}
    return [path for path in files if case_name(path).casefold() in wanted]
