"""What can be wrong with a DICOM series, seen from its headers (DCM001 to DCM015).

:func:`check_series` says which slices form the volume and in which order; only such a series may be read.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from medbundles.checks.dicom_spacing import check_line, check_spacing
from medbundles.checks.verdict import has_errors
from medbundles.errors import DataError, Finding
from medbundles.io.dicom import SliceHeader
from medbundles.io.dicom_grid import axes_of, heights_of, plane_affine, sort_slices
from medbundles.io.dicom_volume import can_decode, no_codec, read_stored
from medbundles.io.grids import CORNER_TOLERANCE_VOXELS, corner_displacement_voxels

# Image types of overviews on which the scan was planned.
LOCALIZER_TYPES = frozenset({"LOCALIZER", "SCOUT", "TOPOGRAM"})
# Slices of one series are parallel to a fraction of a degree; an overview stands across them.
SAME_ORIENTATION_DEGREES = 5.0
# Scanners write positions with three and more decimals: nearer than this is the same place twice.
SAME_PLACE_MM = 0.01
# Direction cosines are written with four and more decimals.
UNIT_TOLERANCE = 1e-3
COPY_AGAIN = "copy the file again from its source"
EXPORT_AGAIN = "export the series again from its source"


@dataclass(frozen=True)
class CheckedSeries:
    """The slices of a series that form its volume, and what was said about the others.

    Attributes:
        series_uid: the series.
        slices: sorted along their normal; empty where an error keeps them from being a volume.
        dropped: UIDs of slices that were left out because another one, the value, is the same.
        findings: everything the checks had to say; their case is the series.
    """

    series_uid: str
    slices: tuple[SliceHeader, ...] = ()
    dropped: Mapping[str, str] = field(default_factory=dict)
    findings: tuple[Finding, ...] = ()


def check_series(slices: Sequence[SliceHeader], modality: str | None = None) -> CheckedSeries:
    """Check one series; pixels are read only where slices lie in the same place.

    Args:
        slices: the files of one series in any order, at least one.
        modality: what the series has to be, such as ``CT``.
    """
    uid = slices[0].series_uid
    findings = check_modality(slices, modality)
    kept, localizer_findings = drop_localizers(slices)
    findings += localizer_findings
    for check in (check_frames, check_tags, check_pixels, check_grid):
        findings += [] if has_errors(findings) else check(kept)
    if has_errors(findings):
        return CheckedSeries(uid, findings=_of_series(findings, uid))
    unique, dropped, duplicate_findings = drop_duplicates(sort_slices(kept))
    findings += duplicate_findings
    if not has_errors(findings):
        findings += check_line(unique) or check_spacing(unique)
    sound = () if has_errors(findings) else tuple(unique)
    return CheckedSeries(uid, sound, dropped, _of_series(findings, uid))


def _of_series(findings: Sequence[Finding], uid: str) -> tuple[Finding, ...]:
    return tuple(replace(finding, case=uid) for finding in findings)


def check_modality(slices: Sequence[SliceHeader], modality: str | None) -> list[Finding]:
    """DCM012: a series of another modality than the one that is expected."""
    found = sorted({header.modality or "no modality" for header in slices})
    if modality is None or found == [modality]:
        return []
    message = f"a series of {', '.join(found)}, expected {modality}"
    return [Finding("DCM012", "error", message, f"choose a series of {modality}", file=slices[0].path.name)]


def drop_localizers(slices: Sequence[SliceHeader]) -> tuple[list[SliceHeader], list[Finding]]:
    """DCM004: leave out overviews, by what they call themselves and by standing across the other slices."""
    named = [header for header in slices if not LOCALIZER_TYPES & set(header.image_type)]
    kept = _parallel(named)
    if not kept:
        message = f"the series holds {len(slices)} overview(s) (localizer) and no other slice"
        return [], [
            Finding("DCM004", "error", message, "choose the series of the scan itself", file=slices[0].path.name)
        ]
    left_out = len(slices) - len(kept)
    if not left_out:
        return kept, []
    chosen = {id(header) for header in kept}
    first = next(header for header in slices if id(header) not in chosen)
    message = f"{left_out} overview(s) (localizer) beside {len(kept)} slices were left out"
    return kept, [Finding("DCM004", "warning", message, file=first.path.name)]


def _parallel(slices: Sequence[SliceHeader]) -> list[SliceHeader]:
    """Return the slices that are parallel to most of them; those without a usable orientation are for other checks."""
    known = [header for header in slices if is_orientation(header.directions)]
    if not known:
        return list(slices)
    normals = np.array([axes_of(header)[2] for header in known])
    common = Counter(tuple(np.round(normal, 2)) for normal in normals).most_common(1)[0][0]
    aligned = np.abs(normals @ np.array(common)) >= np.cos(np.deg2rad(SAME_ORIENTATION_DEGREES))
    across = {id(header) for header, parallel in zip(known, aligned, strict=True) if not parallel}
    return [header for header in slices if id(header) not in across]


def check_frames(slices: Sequence[SliceHeader]) -> list[Finding]:
    """DCM010: a multi-frame file, whose positions lie elsewhere than this package reads them."""
    several = [header for header in slices if header.frames > 1]
    if not several:
        return []
    message = f"an enhanced file with {several[0].frames} frames, expected one file a slice"
    fix = "convert it to NIfTI (dcm2niix) and use that"
    return [Finding("DCM010", "error", message, fix, file=several[0].path.name)]


def check_tags(slices: Sequence[SliceHeader]) -> list[Finding]:
    """DCM014 and DCM006: slices that do not say where they lie, or a CT that does not say how its numbers become HU."""
    needed = {
        "ImagePositionPatient": [header.position_lps_mm is not None for header in slices],
        "ImageOrientationPatient": [is_orientation(header.directions) for header in slices],
        "PixelSpacing": [min(header.pixel_spacing_mm or (0.0,)) > 0 for header in slices],
        "Rows and Columns": [min(header.shape) > 0 for header in slices],
    }
    findings = []
    for tag, usable in needed.items():
        lacking = [header for header, good in zip(slices, usable, strict=True) if not good]
        if lacking:
            message = f"{len(lacking)} of {len(slices)} slices have no usable {tag}"
            findings.append(Finding("DCM014", "error", message, EXPORT_AGAIN, file=lacking[0].path.name))
    unscaled = [header for header in slices if header.modality == "CT" and None in (header.slope, header.intercept)]
    if unscaled:
        message = f"{len(unscaled)} of {len(slices)} slices have no RescaleSlope and RescaleIntercept: not in HU"
        findings.append(Finding("DCM006", "error", message, EXPORT_AGAIN, file=unscaled[0].path.name))
    return findings


def is_orientation(directions: Sequence[float] | None) -> bool:
    """Tell whether six numbers are two unit vectors at a right angle, to the rounding that headers have."""
    if directions is None:
        return False
    row, column = np.reshape(np.asarray(directions, dtype=np.float64), (2, 3))
    return bool(np.allclose([row @ row, column @ column, row @ column], [1.0, 1.0, 0.0], atol=UNIT_TOLERANCE))


def check_pixels(slices: Sequence[SliceHeader]) -> list[Finding]:
    """DCM007, DCM009, DCM013: pixels cut short, in a compression without a decoder, or no single numbers."""
    findings = []
    for header in slices:
        if header.found_bytes < header.expected_bytes:
            message = f"cut short: expected {header.expected_bytes} bytes of pixels, found {header.found_bytes}"
            findings.append(Finding("DCM007", "error", message, COPY_AGAIN, file=header.path.name))
    colored = [header for header in slices if not header.photometric.startswith("MONOCHROME")]
    if colored:
        message = f"pixels are {colored[0].photometric or 'of no declared kind'}, expected MONOCHROME2 or MONOCHROME1"
        fix = "choose the series of the scan itself"
        findings.append(Finding("DCM013", "error", message, fix, file=colored[0].path.name))
    first_of = {header.transfer_syntax: header for header in reversed(slices)}
    return findings + [no_codec(header) for uid, header in sorted(first_of.items()) if not can_decode(uid)]


def check_grid(slices: Sequence[SliceHeader]) -> list[Finding]:
    """DCM015: slices that differ in size, pixel spacing or direction."""
    first = slices[0]
    plane = plane_affine(first)
    for header in slices[1:]:
        if header.shape != first.shape:
            found, expected = (" x ".join(map(str, item.shape)) for item in (header, first))
            message = f"{found} pixels, but {first.path.name} has {expected}"
            return [Finding("DCM015", "error", message, EXPORT_AGAIN, file=header.path.name)]
        moved = plane_affine(header)
        moved[:3, 3] = plane[:3, 3]  # only the way the plane is spanned is compared
        off = corner_displacement_voxels(plane, moved, header.shape)
        if off > CORNER_TOLERANCE_VOXELS:
            message = f"pixel spacing or direction differs from {first.path.name} by {off:.1f} pixels at the far corner"
            return [Finding("DCM015", "error", message, EXPORT_AGAIN, file=header.path.name)]
    return []


def drop_duplicates(
    ordered: Sequence[SliceHeader],
) -> tuple[list[SliceHeader], dict[str, str], list[Finding]]:
    """DCM002: leave out slices whose place and pixels are another one's; the same place alone is refused.

    Returns:
        The slices that remain, the UIDs of those left out with the UID of the one that is kept, and the findings.
    """
    heights = heights_of(ordered)
    kept: list[SliceHeader] = []
    dropped: dict[str, str] = {}
    findings: list[Finding] = []
    for header, height, gap in zip(ordered, heights, np.diff(heights, prepend=-np.inf), strict=True):
        if gap > SAME_PLACE_MM:
            kept.append(header)
            continue
        try:
            same = bool(np.array_equal(read_stored(kept[-1]), read_stored(header)))
        except DataError as error:
            return kept, dropped, [*findings, *error.findings]
        dropped[header.sop_uid] = kept[-1].sop_uid
        if not same:
            message = f"{kept[-1].path.name} has the same position ({height:.2f} mm), but other pixels"
            findings.append(Finding("DCM002", "error", message, "keep the slices of one scan", file=header.path.name))
    if dropped and not findings:
        message = f"{len(dropped)} slices are there twice, pixel by pixel: one of each was left out"
        findings.append(Finding("DCM002", "warning", message, "delete the copies"))
    return kept, dropped, findings


def check_one_series(series: Mapping[str, Sequence[SliceHeader]], used: Collection[str]) -> list[Finding]:
    """DCM003: tell which of several series in one folder are used, and which are not.

    Args:
        series: the slices of each series in the folder.
        used: the series that are used.
    """
    if len(series) < 2:
        return []
    listed = ", ".join(
        f"{uid} ({slices[0].modality or '?'}, {len(slices)} slices, {'used' if uid in used else 'left out'})"
        for uid, slices in sorted(series.items())
    )
    message = f"{len(series)} series in one folder: {listed}"
    first = next(iter(series.values()))[0].path.name
    return [Finding("DCM003", "warning", message, "say --series UID to choose others", file=first)]
