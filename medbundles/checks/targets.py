"""The checks of images that a network shall learn to make, and of the masks they count in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from medbundles.checks import nifti
from medbundles.checks.cases import check_values, examine, images_of, of_case
from medbundles.checks.verdict import has_errors
from medbundles.checks.voxels import facts_of_all
from medbundles.errors import Finding, MedbundlesError
from medbundles.io.datalist import Record
from medbundles.io.headers import Geometry, ImageHeader


def check_targets(cases: Sequence[Record], geometry: Geometry | None) -> list[Finding]:
    """Check that every record has a target and a mask on its image's grid, finite and not empty.

    Args:
        cases: records with absolute paths; ``label`` is the target, ``mask`` where it counts.
        geometry: which NIfTI form counts where sform and qform disagree.

    Returns:
        NII016 for what is not named, what the headers say (NII001 to NII007), values (NII002, NII011), and DWI012 for
        masks that are empty or on another grid.
    """
    findings: list[Finding] = []
    headers: dict[Path, ImageHeader] = {}
    sound: list[tuple[Record, str, Path]] = []
    for case in cases:
        for key, name in (("label", "target"), ("mask", "mask")):
            path = Path(case[key]) if case.get(key) else None
            if path is None:
                message = f"the record names no {key}, expected the {name} for training and evaluation"
                findings.append(Finding("NII016", "error", message, "prepare the data again", case=str(case["case"])))
                continue
            header, wrong = examine(path, geometry)
            wrong = [*wrong, *(_on_grid(header, case, geometry) if header is not None else [])]
            if key == "mask":
                wrong = [replace(finding, code="DWI012") if finding.code == "NII004" else finding for finding in wrong]
            # Both are called CASE.nii.gz; the folder tells them apart.
            findings += of_case([replace(finding, file=f"{path.parent.name}/{path.name}") for finding in wrong], case)
            if header is not None and not has_errors(wrong):
                headers[path] = header
                sound.append((case, key, path))
    facts = facts_of_all([path for _, _, path in sound], None, geometry)
    for case, key, path in sound:
        measured = facts[path]
        if key == "label":
            findings += of_case(check_values(headers[path], facts, path, None, "train"), case)
        elif isinstance(measured, MedbundlesError):
            findings += of_case(list(measured.findings), case)
        elif measured.nonzero == 0:
            fix = "prepare it again with another mask, or take the case out"
            found = Finding("DWI012", "error", "the brain mask is empty", fix, file=f"{path.parent.name}/{path.name}")
            findings += of_case([found], case)
    return findings


def _on_grid(header: ImageHeader, case: Record, geometry: Geometry | None) -> list[Finding]:
    findings = nifti.check_axes(header)
    reference, _ = examine(images_of(case)[0], geometry)  # its own faults were told with the images
    return findings if reference is None else findings + nifti.check_same_grid(reference, header)
