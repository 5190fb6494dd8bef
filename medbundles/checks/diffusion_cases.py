"""The checks of raw diffusion MRI that a network shall be applied to."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path

from medbundles.checks import nifti
from medbundles.checks.cases import check_cases, examine
from medbundles.checks.gradients import B0_THRESHOLD, check_gradients
from medbundles.checks.verdict import apply_allow, has_errors, refuse, severity
from medbundles.errors import ConfigurationError, DataError, Finding
from medbundles.io.cases import check_names, find_cases
from medbundles.io.datalist import DATALIST_NAME, Record
from medbundles.io.diffusion_cases import DiffusionCase, find_diffusion_cases
from medbundles.io.fingerprint import network_grid, read_fingerprint
from medbundles.io.gradients import read_gradients
from medbundles.io.headers import Geometry, ImageHeader


def find_scans(
    root: Path,
    *,
    channels: Sequence[str],
    allow: Collection[str] = (),
    skip_bad_cases: bool = False,
    geometry: Geometry | None = None,
    b0_threshold: float = B0_THRESHOLD,
    shell: float | None = None,
    grid: float | str | None = None,
) -> tuple[list[Record], list[Finding]]:
    """Find and check raw scans, or the cases of a prepared folder.

    Args:
        root: a BIDS data set, folders with ``dwi.nii.gz``, ``dwi.bval`` and ``dwi.bvec``, or a prepared folder.
        channels: the network's channels in their order.
        allow: fault codes whose allowable errors become warnings.
        skip_bad_cases: leave cases with errors out instead of refusing all of them.
        geometry: which NIfTI form counts where sform and qform disagree.
        b0_threshold: largest b-value that counts as unweighted, in s/mm2.
        shell: b-value of the shell to take; None takes the one nearest to 1000 s/mm2.
        grid: what the network was trained on, ``dwi`` or an edge in mm, which a prepared folder must be on, too; None
            compares nothing.

    Returns:
        The cases without errors, and all findings. A raw case has the paths ``dwi``, ``b_values``, ``b_vectors`` and
        perhaps ``brain``, a mask on the scan's grid.

    Raises:
        DataError: no case, two of one name (NII016), or a bad one and ``skip_bad_cases`` is false.
        ConfigurationError: a prepared folder is on another grid (CFG004).
    """
    if root.suffix == ".json" or (root / DATALIST_NAME).is_file():
        _refuse_other_grid(root, grid)
        cases = find_cases(root, channels)
        return check_cases(cases, channels=channels, allow=allow, geometry=geometry, skip_bad_cases=skip_bad_cases)
    scans, notes = find_diffusion_cases(root, with_t1w=False)
    collisions = _check_names(scans)
    by_case = [
        apply_allow([*_about(scan, notes), *inspect_scan(scan, geometry, b0_threshold, shell)], allow) for scan in scans
    ]
    findings = [*collisions, *_about(None, notes), *(finding for of_case in by_case for finding in of_case)]
    good = [scan for scan, of_case in zip(scans, by_case, strict=True) if not has_errors(of_case)]
    if collisions or not skip_bad_cases or not good:
        findings = refuse(findings)
    return [_record(scan) for scan in good], findings


def inspect_scan(
    scan: DiffusionCase,
    geometry: Geometry | None = None,
    b0_threshold: float = B0_THRESHOLD,
    shell: float | None = None,
    aligned: bool = False,
) -> list[Finding]:
    """Check one scan's header and weighting, without reading its voxels.

    Args:
        scan: its files.
        geometry: which NIfTI form counts where sform and qform disagree.
        b0_threshold: largest b-value that counts as unweighted, in s/mm2.
        shell: b-value of the shell to take, if one was chosen.
        aligned: whether the scan has to align with a T1w.
    """
    header, findings = examine(scan.dwi, geometry)
    if header is not None:
        findings = [*findings, *nifti.check_spacing(header), *nifti.check_memory(header)]
        findings += nifti.check_world(header, aligned) + nifti.check_numbers(header)
        findings += _inspect_weighting(scan, header, b0_threshold, shell)
    if scan.mask is not None:
        mask, wrong = examine(scan.mask, geometry)
        findings += wrong if mask is None else nifti.check_axes(mask)
        if mask is not None and header is not None:
            found = nifti.check_same_grid(header, mask)
            fix = "resample it to that image's grid, or take it away: the brain is found without it"
            findings += [replace(finding, code="DWI012", fix=fix, allowable=False) for finding in found]
    return [
        replace(finding, case=finding.case or scan.name, file=finding.file or scan.dwi.name) for finding in findings
    ]


def _inspect_weighting(
    scan: DiffusionCase, header: ImageHeader, b0_threshold: float, shell: float | None
) -> list[Finding]:
    if len(header.grid_shape) not in (3, 4):
        shape = " x ".join(map(str, header.shape))
        message = f"{shape} voxels, expected a 4D image with a volume for each b-value"
        return [Finding("NII007", "error", message, "store the volumes along the fourth axis", file=header.name)]
    volumes = header.grid_shape[3] if len(header.grid_shape) == 4 else 1
    try:
        table = read_gradients(scan.b_values, scan.b_vectors)
    except DataError as error:
        return list(error.findings)
    return check_gradients(table, volumes, b0_threshold, shell)[1]


def check_raw_scans(root: Path, geometry: Geometry | None = None) -> tuple[str, list[Finding]]:
    """Return what a folder of raw scans holds, in words, and what is to say about it.

    Scans are taken as meant for training where one of them has a T1w, for inference where none has.

    Args:
        root: a BIDS data set, or folders with ``dwi.nii.gz``, ``dwi.bval`` and ``dwi.bvec``.
        geometry: which NIfTI form counts where sform and qform disagree.

    Raises:
        DataError: no diffusion image at all (TRN011).
    """
    scans, notes = find_diffusion_cases(root)
    if any(scan.t1w for scan in scans):
        return f"{len(scans)} diffusion scans to prepare with their T1w", [*notes, *inspect_pairs(scans, geometry)]
    found = [finding for scan in scans for finding in inspect_scan(scan, geometry)]
    return f"{len(scans)} diffusion scans for inference", [*notes, *_check_names(scans), *found]


def inspect_pairs(
    cases: Sequence[DiffusionCase],
    geometry: Geometry | None = None,
    b0_threshold: float = B0_THRESHOLD,
    shell: float | None = None,
) -> list[Finding]:
    """Check gradients, headers and names of scans that shall be trained on with their T1w; no voxel is read.

    Args:
        cases: as they were found.
        geometry: which NIfTI form counts where sform and qform disagree.
        b0_threshold: largest b-value that counts as unweighted, in s/mm2.
        shell: b-value of the shell to take, if one was chosen.

    Returns:
        Everything that was found, errors first.
    """
    findings = _check_names(cases)
    for case in cases:
        findings += inspect_scan(case, geometry, b0_threshold, shell, aligned=True)
        findings += [replace(finding, case=case.name) for finding in _inspect_t1w(case, geometry)]
    return sorted(findings, key=severity)


def _check_names(scans: Sequence[DiffusionCase]) -> list[Finding]:
    return check_names([{"case": scan.name, "image": str(scan.dwi)} for scan in scans])


def _about(scan: DiffusionCase | None, findings: Sequence[Finding]) -> list[Finding]:
    name = scan.name if scan else None
    return [finding for finding in findings if finding.case == name]


def _refuse_other_grid(root: Path, expected: float | str | None) -> None:
    """Refuse a prepared folder on another grid than the network's; one without ``fingerprint.json`` is not known."""
    if expected is None or not read_fingerprint(root):
        return
    found = network_grid(root)
    if found != expected:
        message = f"preprocessing::grid_mm is {expected!r} in model.json and {found!r} in the prepared folder"
        fix = f"prepare it with --grid {expected}, give the raw scans, or use other weights"
        raise ConfigurationError(findings=[Finding("CFG004", "error", message, fix, file="model.json")])


def _inspect_t1w(case: DiffusionCase, geometry: Geometry | None) -> list[Finding]:
    if case.t1w is None:
        fix = "add t1w.nii.gz (BIDS: anat/SUBJECT_T1w.nii.gz), or take the case out; inference needs none"
        return [Finding("NII008", "error", "no T1w, expected one to learn from", fix, file=case.dwi.name)]
    header, findings = examine(case.t1w, geometry)
    if header is not None:
        findings += nifti.check_axes(header) + nifti.check_spacing(header) + nifti.check_world(header, aligned=True)
    return [replace(finding, file=case.t1w.name) for finding in findings]


def _record(scan: DiffusionCase) -> Record:
    files = {"dwi": scan.dwi, "b_values": scan.b_values, "b_vectors": scan.b_vectors, "brain": scan.mask}
    paths = {key: str(path.absolute()) for key, path in files.items() if path is not None}
    return {"case": scan.name, "subject": scan.subject, **paths}
