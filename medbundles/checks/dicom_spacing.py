"""Whether the slices of a series stand in one straight, even row (DCM001, DCM005, DCM015)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from medbundles.errors import Finding
from medbundles.io.dicom import SliceHeader
from medbundles.io.dicom_grid import Floats, axes_of, heights_of
from medbundles.io.grids import CORNER_TOLERANCE_VOXELS

# A tilted gantry is tilted by degrees; below this it is the rounding of positions, and the affine holds it exactly.
TILT_TOLERANCE_DEGREES = 0.5
# From this many usual distances on, a slice fits in between.
MISSING_GAP = 1.5
# More gaps than this are counted, not listed.
LARGEST_LIST_OF_GAPS = 3


def check_line(ordered: Sequence[SliceHeader]) -> list[Finding]:
    """DCM005 and DCM015: slices that are shifted within their plane, evenly (a tilted gantry) or not.

    Args:
        ordered: slices sorted along their normal.
    """
    if len(ordered) < 2:
        return []
    axes = axes_of(ordered[0])
    places = np.array([header.position_lps_mm for header in ordered]) - np.array(ordered[0].position_lps_mm)
    inside, heights = places @ axes[:2].T, places @ axes[2]
    tilt = float(np.rad2deg(np.arctan2(np.linalg.norm(inside[-1]), heights[-1])))
    if tilt > TILT_TOLERANCE_DEGREES:
        message = f"the slices are shifted within their plane by {tilt:.1f} degrees: a tilted gantry, or two scans"
        fix = "resample the series to upright slices (dcm2niix corrects the tilt) and use that"
        return [Finding("DCM005", "error", message, fix, file=ordered[-1].path.name)]
    off = np.linalg.norm(inside - np.outer(heights / heights[-1], inside[-1]), axis=1)
    worst = int(np.argmax(off))
    limit = CORNER_TOLERANCE_VOXELS * min(ordered[0].pixel_spacing_mm or (1.0,))
    if off[worst] <= limit:
        return []
    message = f"the slice is shifted within its plane by {off[worst]:.2f} mm, limit {limit:.2f} mm"
    return [Finding("DCM015", "error", message, "keep the slices of one scan", file=ordered[worst].path.name)]


def check_spacing(ordered: Sequence[SliceHeader]) -> list[Finding]:
    """DCM001: a missing slice, or distances between slices that are not the same.

    Args:
        ordered: slices sorted along their normal, each place once.
    """
    if len(ordered) < 2:
        message, file = "a single slice, expected a volume of two and more", ordered[0].path.name
        return [Finding("DCM001", "error", message, "copy the whole series", file=file)]
    heights = heights_of(ordered)
    gaps = np.diff(heights)
    usual = float(np.median(gaps))
    even = np.linspace(heights[0], heights[-1], len(heights))
    step = (heights[-1] - heights[0]) / len(gaps)
    off = np.abs(heights - even)
    if off.max() <= CORNER_TOLERANCE_VOXELS * step:
        return []
    wide = [place for place, gap in enumerate(gaps) if gap >= MISSING_GAP * usual]
    if wide:
        return [_missing(ordered, heights, gaps, wide, usual)]
    worst = int(np.argmax(np.abs(gaps - usual)))
    message = (
        f"uneven distances of {gaps.min():.3g} to {gaps.max():.3g} mm: a slice lies {off.max():.2f} mm off an even "
        f"row, limit {CORNER_TOLERANCE_VOXELS} of a distance"
    )
    return [Finding("DCM001", "error", message, "copy the whole series again", file=ordered[worst + 1].path.name)]


def _missing(
    ordered: Sequence[SliceHeader], heights: Floats, gaps: Floats, wide: Sequence[int], usual: float
) -> Finding:
    listed = ", ".join(
        f"{heights[place]:.2f} and {heights[place + 1]:.2f} mm ({round(gaps[place] / usual) - 1} missing)"
        for place in wide[:LARGEST_LIST_OF_GAPS]
    )
    more = f" and {len(wide) - LARGEST_LIST_OF_GAPS} more places" if len(wide) > LARGEST_LIST_OF_GAPS else ""
    message = f"no slice between {listed}{more}; elsewhere every {usual:.3g} mm"
    return Finding("DCM001", "error", message, "copy the whole series again", file=ordered[wide[0]].path.name)
