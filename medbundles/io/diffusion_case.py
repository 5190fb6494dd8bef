"""One raw diffusion scan, and what tells such files from others."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from medbundles.errors import Finding
from medbundles.io.grids import NIFTI_SUFFIXES


@dataclass(frozen=True)
class DiffusionCase:
    """The files of one scan.

    Attributes:
        name: of the case: the BIDS name without ``_dwi``, or the folder's.
        subject: the person; two scans of one person are never in two parts of a split.
        dwi: the diffusion images.
        b_values: ``.bval`` file, which may be missing.
        b_vectors: ``.bvec`` file, which may be missing.
        mask: brain mask on the grid of ``dwi``; None where it has to be found.
        t1w: T1w image of the same person; None where there is none.
    """

    name: str
    subject: str
    dwi: Path
    b_values: Path
    b_vectors: Path
    mask: Path | None = None
    t1w: Path | None = None


def is_hidden(path: Path) -> bool:
    """Tell whether a name begins with a dot: among them the ``._`` files that macOS leaves on other systems' disks."""
    return path.name.startswith(".")


def nifti_files(paths: Iterable[Path]) -> list[Path]:
    """Return the NIfTI files among some paths, sorted, without hidden ones."""
    return sorted(path for path in paths if path.name.lower().endswith(NIFTI_SUFFIXES) and not is_hidden(path))


def choose(preferred: Sequence[Sequence[Path]], what: str, case: str) -> tuple[Path | None, list[Finding]]:
    """Return the file of the best of several kinds of names; two of one kind are an error (NII008).

    Args:
        preferred: the files of each kind, the best kind first.
        what: they are, for the message.
        case: its name.
    """
    best = next((files for files in preferred if files), ())
    if len(best) < 2:
        return next(iter(best), None), []
    message = f"several files for the {what}: {', '.join(path.name for path in best)}; expected one"
    fix = f"take the others away, or name the one to use {what}.nii.gz in a folder CASE/"
    return best[0], [Finding("NII008", "error", message, fix, case=case)]
