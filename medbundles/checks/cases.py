"""The checks of cases that a network shall be applied to."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from medbundles.checks import brains, nifti
from medbundles.checks.verdict import apply_allow, has_errors, refuse, severity
from medbundles.checks.voxels import VoxelFacts, facts_of_all
from medbundles.errors import DataError, Finding, MedbundlesError
from medbundles.io.brats_decathlon import MODALITIES
from medbundles.io.datalist import Record
from medbundles.io.dataset_json import DATASET_FILE, read_dataset_json
from medbundles.io.grids import has_image_suffix
from medbundles.io.headers import Geometry, ImageHeader, choose_affine, read_header

# What is beside a case's contrasts by its name and is none.
MASK_WORDS = ("seg", "mask", "label", "brain", "bet", "skull", "prob", "entropy")
# The modality of images that are 0 outside of the brain.
BRAIN = "brain MR"


def check_cases(
    cases: Sequence[Record],
    *,
    channels: Sequence[str],
    modality: str | None = None,
    allow: Collection[str] = (),
    geometry: Geometry | None = None,
    skip_bad_cases: bool = False,
    patch_size: Sequence[int] | None = None,
    missing_contrasts: bool = False,
) -> tuple[list[Record], list[Finding]]:
    """Check the cases of an inference; labels they may have are not looked at.

    Args:
        cases: records as :func:`medbundles.io.cases.find_cases` returns them.
        channels: the network's channel names in their order.
        modality: ``CT`` takes the values as HU.
        allow: fault codes whose allowable errors become warnings.
        geometry: which NIfTI form counts where sform and qform disagree.
        skip_bad_cases: leave cases with errors out instead of refusing all of them.
        patch_size: the network's window, for a note on smaller volumes.
        missing_contrasts: whether a case may lack contrasts (null among its images), all but one of them.

    Returns:
        The cases without errors, and all findings; errors are among them only with ``skip_bad_cases``.

    Raises:
        DataError: a case is bad and ``skip_bad_cases`` is false, or no good case is left.
        EnvironmentFailure: the only fault is that a volume is larger than the memory (NII015).
    """
    findings_by_case = [
        apply_allow(findings, allow)
        for findings in check_images(
            cases,
            channels=channels,
            modality=modality,
            geometry=geometry,
            purpose="infer",
            patch_size=patch_size,
            missing_contrasts=missing_contrasts,
        )
    ]
    findings = [finding for of_case in findings_by_case for finding in of_case]
    good = [case for case, of_case in zip(cases, findings_by_case, strict=True) if not has_errors(of_case)]
    if not skip_bad_cases or not good:
        findings = refuse(findings)
    return good, findings


def inspect_cases(
    cases: Sequence[Record],
    *,
    channels: Sequence[str],
    modality: str | None = None,
    geometry: Geometry | None = None,
    patch_size: Sequence[int] | None = None,
    missing_contrasts: bool = False,
) -> list[Finding]:
    """Return the findings of :func:`check_cases` without deciding anything (what ``medbundles check`` shows)."""
    by_case = check_images(
        cases,
        channels=channels,
        modality=modality,
        geometry=geometry,
        purpose="infer",
        patch_size=patch_size,
        missing_contrasts=missing_contrasts,
    )
    return sorted((finding for findings in by_case for finding in findings), key=severity)


def check_images(
    cases: Sequence[Record],
    *,
    channels: Sequence[str],
    modality: str | None,
    geometry: Geometry | None,
    purpose: nifti.Purpose,
    patch_size: Sequence[int] | None = None,
    missing_contrasts: bool = False,
) -> list[list[Finding]]:
    """Check the images of every case, headers first, then the voxels of the files whose headers passed.

    Args:
        cases: records with absolute paths.
        channels: the channel names in their order.
        modality: ``CT`` takes the values as HU.
        geometry: which NIfTI form counts where sform and qform disagree.
        purpose: what the images are for; training is stricter.
        patch_size: the network's window, for a note on smaller volumes.
        missing_contrasts: whether a case may lack contrasts (null among its images), all but one of them.

    Returns:
        One list of findings a case, in the order of the cases.
    """
    headers: dict[Path, ImageHeader] = {}
    results: list[list[Finding]] = []
    for case in cases:
        findings = check_channels(case, channels, missing_contrasts, purpose)
        for path in images_of(case):
            header, wrong = examine(path, geometry)
            if header is not None:
                headers[path] = header
                wrong += _check_volumes(header, len(listed_images(case)), channels, missing_contrasts, purpose)
                wrong += _check_order(header, path, channels) if purpose == "infer" else []
                wrong += nifti.check_spacing(header) + nifti.check_size(header, patch_size)
                wrong += nifti.check_memory(header)
            findings += wrong
        present = [headers[path] for path in images_of(case) if path in headers]
        # A label is compared with its image in training; inference does not look at it.
        aligned = len(images_of(case)) > 1 or (purpose == "train" and bool(case.get("label")))
        findings += check_aligned(present, aligned)
        results.append(of_case(findings, case))
    sound = [path for case, of in zip(cases, results, strict=True) for path in images_of(case) if not has_errors(of)]
    facts = facts_of_all(sound, modality, geometry)
    for case, findings in zip(cases, results, strict=True):
        for path in images_of(case):
            if path in facts:
                findings += of_case(check_values(headers[path], facts, path, modality, purpose), case)
    return results


def check_channels(
    case: Record, channels: Sequence[str], missing_contrasts: bool = False, purpose: nifti.Purpose = "train"
) -> list[Finding]:
    """NII008: as many files as channels, or one 4D file with all of them; what is null is absent.

    Args:
        case: a record.
        channels: the channel names in their order.
        missing_contrasts: whether a case may lack some; this is noted, and warned of where it shows in the result.
        purpose: what the images are for.
    """
    listed, found = listed_images(case), len(images_of(case))
    order = f"{len(channels)} in this order: {', '.join(channels)}"
    if len(listed) not in (1, len(channels)) or not found:
        message = f"{len(listed) if found else 'no'} images, expected {order}"
        return [Finding("NII008", "error", message, "list one file for each channel")]
    if found < len(listed):
        absent = [name for name, image in zip(channels, listed, strict=True) if image is None]
        if not missing_contrasts:
            message = f"no {', '.join(absent)}; expected {order}"
            return [Finding("NII008", "error", message, "add the missing files: this model needs all of them")]
        message = f"no {', '.join(absent)}; goes on with {', '.join(name for name in channels if name not in absent)}"
        if purpose == "infer" and (others := _unused_files(case)):
            message += f"; {', '.join(others)} is none of them"
            fix = "rename it, or say how files end, --contrast_endings, if it is one"
            return [Finding("NII008", "warning", message, fix)]
        return [Finding("NII008", "warning" if purpose == "infer" else "note", message)]
    return []


def _check_volumes(
    header: ImageHeader, files: int, channels: Sequence[str], missing_contrasts: bool, purpose: nifti.Purpose
) -> list[Finding]:
    """NII007; NII008 for a file of which nobody knows which of the contrasts it is, or its volumes are."""
    findings = nifti.check_axes(header, len(channels) if files == 1 else 1)
    if files > 1 or len(channels) == 1:
        return findings
    if missing_contrasts and len(header.grid_shape) == 3:
        message = f"one volume whose name ends in none of {', '.join(channels)}"
        fix = f"name it CASE_{channels[0]} or another of them, or say how they end, --contrast_endings"
        return [Finding("NII008", "error", message, fix, file=header.name)]
    if purpose == "infer" and not has_errors(findings):
        message = f"the volumes of the 4D file are taken for {', '.join(channels)}, in this order"
        fix = "give one 3D file for each channel to be sure"
        findings.append(Finding("NII008", "warning", message, fix, file=header.name))
    return findings


def _check_order(header: ImageHeader, path: Path, channels: Sequence[str]) -> list[Finding]:
    """NII008 for a 4D file of a Decathlon task whose ``dataset.json`` says another order of its volumes."""
    described = path.parent.parent / DATASET_FILE
    if len(header.grid_shape) != 4 or len(channels) == 1 or not described.is_file():
        return []
    try:
        names = read_dataset_json(described)["modality"]
        order = [MODALITIES.get(str(names[key]).lower(), str(names[key])) for key in sorted(names, key=int)]
    except (DataError, KeyError, TypeError, ValueError, AttributeError):
        return []
    if order == list(channels):
        return []
    message = f"its volumes are {', '.join(order)} by {DATASET_FILE}, expected {', '.join(channels)}"
    fix = f"write each into a file of its own, CASE_{order[0]}.nii.gz and so on"
    return [Finding("NII008", "error", message, fix, file=header.name)]


def _unused_files(case: Record) -> list[str]:
    """Return the volumes beside a case's images that bear its name and are taken for nothing, masks left out."""
    used = set(images_of(case))
    name = str(case["case"])
    beside = [path for folder in {path.parent for path in used} for path in sorted(folder.iterdir())]
    others = [path for path in beside if has_image_suffix(path) and path not in used and path.name.startswith(name)]
    return [path.name for path in others if not any(word in path.name.lower() for word in MASK_WORDS)]


def examine(path: Path, geometry: Geometry | None) -> tuple[ImageHeader | None, list[Finding]]:
    """Read a header and check what it says about space; its affine is then the one that counts."""
    try:
        header = read_header(path)
        return replace(header, affine=choose_affine(header, geometry)), []
    except DataError as error:
        return None, list(error.findings)


def check_aligned(headers: Sequence[ImageHeader], aligned: bool) -> list[Finding]:
    """NII004 and NII006 over the images of one case.

    Args:
        headers: of the images that could be read.
        aligned: whether the case has files that must lie on each other.
    """
    findings = [finding for header in headers for finding in nifti.check_world(header, aligned)]
    for other in headers[1:]:
        findings += nifti.check_same_grid(headers[0], other)
    return findings


def check_values(
    header: ImageHeader,
    facts: Mapping[Path, VoxelFacts | MedbundlesError],
    path: Path,
    modality: str | None,
    purpose: nifti.Purpose,
) -> list[Finding]:
    """Check an image's voxels: finite, not constant, HU where they should be."""
    measured = facts[path]
    if isinstance(measured, MedbundlesError):
        return list(measured.findings)
    findings = nifti.check_finite(measured, purpose, header.name) + nifti.check_contrast(measured, header.name)
    if modality == "CT":
        findings += nifti.check_hounsfield(header, measured)
    elif modality == BRAIN and purpose == "infer":
        findings += brains.check_stripped(header, measured)
    return findings


def images_of(case: Record) -> list[Path]:
    """Return a record's image files in the order of the channels, absent ones left out."""
    return [image for image in listed_images(case) if image is not None]


def listed_images(case: Record) -> list[Path | None]:
    """Return a record's image files in the order of the channels; ``None`` stands for an absent one."""
    image = case["image"]
    return [None if item is None else Path(item) for item in ([image] if isinstance(image, str) else image)]


def of_case(findings: Sequence[Finding], case: Record) -> list[Finding]:
    """Name the case in findings about one of its files."""
    return [replace(finding, case=finding.case or str(case["case"])) for finding in findings]
