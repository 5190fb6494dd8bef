"""Names of the maps of a diffusion MRI that a network's input may be made of."""

from __future__ import annotations

IMAGES = ("mean_b0", "mean_dwi", *(f"dwi{number}" for number in range(1, 7)))
EIGENVALUES = ("l1", "l2", "l3")
SCALARS = (*EIGENVALUES, "fa", "md")
# A direction and its opposite are the same fiber: of an eigenvector the products of its parts are given.
DYADS = {
    f"v{number}": tuple(f"v{number}_{pair}" for pair in ("xx", "xy", "xz", "yy", "yz", "zz")) for number in (1, 2, 3)
}
CHANNELS = (*IMAGES, *SCALARS, *(name for names in DYADS.values() for name in names))
DEFAULT = ("mean_b0", "mean_dwi", *EIGENVALUES, *IMAGES[2:])
# What one word of a list of channels stands for.
GROUPS = {
    "dwi": IMAGES[2:],
    "eigenvalues": EIGENVALUES,
    **DYADS,
    "eigenvectors": tuple(name for names in DYADS.values() for name in names),
}
