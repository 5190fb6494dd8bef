"""NII017 to NII019 of images that show the brain alone, as segmentation of tumors takes them."""

from __future__ import annotations

from medbundles.checks.voxels import VoxelFacts
from medbundles.errors import Finding
from medbundles.io.grids import spacing_of
from medbundles.io.headers import ImageHeader

# An image whose air is 0 has at least this share of zeros.
LEAST_BACKGROUND = 0.2
# A brain is a dozen voxels of this size across: nothing that is in it can be seen, and finer ones to compute on are
# more than any machine holds.
LARGEST_EDGE_MM = 10.0


def check_stripped(header: ImageHeader, facts: VoxelFacts) -> list[Finding]:
    """Judge an image that should be 0 outside of the brain.

    Args:
        header: its header.
        facts: what was measured in its voxels.

    Returns:
        An error for voxels no brain is seen on (NII017), warnings where there is no background (NII018) and where
        values are negative (NII019).
    """
    findings = []
    edges = spacing_of(header.affine)
    if max(edges) > LARGEST_EDGE_MM:
        size = " x ".join(f"{edge:g}" for edge in edges)
        message = f"the voxel size is {size} mm, expected at most {LARGEST_EDGE_MM:g} mm; is it in another unit?"
        findings.append(Finding("NII017", "error", message, "store it in mm", file=header.name))
    if facts.minimum == facts.maximum:
        return findings  # NII011 says so
    if 1 - facts.nonzero / facts.voxels < LEAST_BACKGROUND:
        fix = "strip it first, with HD-BET or SynthStrip for instance: what is not 0 is taken for brain"
        message = "no background of 0; is the skull still there?"
        findings.append(Finding("NII018", "warning", message, fix, file=header.name))
    if facts.minimum < 0:
        message = f"negative values, the lowest {facts.minimum:g}"
        fix = "interpolation leaves some, standardized images have many; was it inverted or shifted?"
        findings.append(Finding("NII019", "warning", message, fix, file=header.name))
    return findings
