"""Finding raw diffusion MRI: in a BIDS data set, or in a folder for each case."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from medbundles.errors import DataError, Finding
from medbundles.io.gradients import gradient_files

SUFFIXES = (".nii.gz", ".nii")
# A data set, a person of it, or a session of a person.
PLACES = ("sub-*/", "sub-*/ses-*/", "ses-*/", "")
SUBJECT = re.compile(r"sub-[A-Za-z0-9]+")
ENTITY = re.compile(r"(?P<key>[a-z]+)-(?P<value>[A-Za-z0-9]+)")


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


def is_bids(root: Path) -> bool:
    """Tell whether a folder is a BIDS data set with diffusion images, or one of its subjects' folders."""
    return any(_bids_images(root))


def find_diffusion_cases(root: Path) -> tuple[list[DiffusionCase], list[Finding]]:
    """Return all scans of a folder, sorted by name, and notes on what was chosen among several files.

    Args:
        root: a BIDS data set; a folder with a folder for each case, or one such folder, that holds ``dwi.nii.gz``,
            ``dwi.bval``, ``dwi.bvec`` and perhaps ``mask.nii.gz`` and ``t1w.nii.gz`` (any of them after ``CASE_``).

    Raises:
        DataError: no diffusion image at all (TRN011).
    """
    if is_bids(root):
        found = [_bids_case(image, root) for image in _bids_images(root)]
        return [case for case, _ in found], [note for _, notes in found for note in notes]
    folders = [root, *sorted(path for path in root.glob("*") if path.is_dir())] if root.is_dir() else []
    cases = [case for folder in folders if (case := _folder_case(folder)) is not None]
    if not cases:
        fix = "give a BIDS data set, or a folder CASE/ with dwi.nii.gz, dwi.bval and dwi.bvec for each case"
        raise DataError(findings=[Finding("TRN011", "error", f"no diffusion images in {root}", fix)])
    return cases, []


def _bids_images(root: Path) -> list[Path]:
    patterns = (
        f"{place}dwi/sub-*_dwi{suffix}" for place in ("", "ses-*/", "sub-*/", "sub-*/ses-*/") for suffix in SUFFIXES
    )
    return sorted({path for pattern in patterns for path in root.glob(pattern) if SUBJECT.match(path.name)})


def _bids_case(image: Path, root: Path) -> tuple[DiffusionCase, list[Finding]]:
    entities = _entities(image)
    name = _stem(image).removesuffix("_dwi")
    b_values, b_vectors = (_inherited(image, path, root) for path in gradient_files(image))
    masks = [path for path in image.parent.glob("*_mask.nii*") if _entities(path, ("desc",)) == entities]
    t1w, notes = _choose_t1w(image, name)
    case = DiffusionCase(name, f"sub-{entities['sub']}", image, b_values, b_vectors, min(masks, default=None), t1w)
    return case, notes


def _choose_t1w(image: Path, name: str) -> tuple[Path | None, list[Finding]]:
    """Return the T1w of the same session, or else of another one of the same person."""
    session = image.parent.parent
    person = session.parent if session.name.startswith("ses-") else session
    own = _nifti(session.glob("anat/*_T1w.nii*"))
    others = _nifti(person.glob("ses-*/anat/*_T1w.nii*"))
    chosen = next(iter(own or others), None)
    if chosen is None or len(own) == 1:
        return chosen, []
    reason = f"the first of {len(own)}" if own else "of another session"
    return chosen, [Finding("NII008", "note", f"T1w {chosen.name} was taken, {reason}", case=name)]


def _inherited(image: Path, expected: Path, root: Path) -> Path:
    """Return the nearest file that applies to an image: beside it, or above it with a part of its name (BIDS)."""
    if expected.is_file():
        return expected
    wanted = _entities(image)
    folder = image.parent
    while folder != root.parent and folder != folder.parent:
        for path in sorted(folder.glob(f"*dwi{expected.suffix}"), key=lambda path: -len(path.name)):
            if _entities(path).items() <= wanted.items():
                return path
        folder = folder.parent
    return expected


def _folder_case(folder: Path) -> DiffusionCase | None:
    image = _named(folder, "dwi", SUFFIXES)
    if image is None:
        return None
    b_values, b_vectors = (_named(folder, "dwi", (path.suffix,)) or path for path in gradient_files(image))
    masks = _named(folder, "mask", SUFFIXES), _named(folder, "t1w", SUFFIXES)
    return DiffusionCase(folder.resolve().name, folder.resolve().name, image, b_values, b_vectors, *masks)


def _named(folder: Path, name: str, suffixes: Sequence[str]) -> Path | None:
    """Return the file of a folder called ``NAME`` or ``..._NAME``, upper and lower case alike."""
    ending = re.compile(rf"(.*[_\-. ])?{name}", re.IGNORECASE)
    files = sorted(path for path in folder.iterdir() if path.is_file())
    for path in files:
        for suffix in suffixes:
            if path.name.endswith(suffix) and ending.fullmatch(path.name.removesuffix(suffix)):
                return path
    return None


def _entities(path: Path, ignored: Sequence[str] = ()) -> dict[str, str]:
    found = (ENTITY.fullmatch(part) for part in _stem(path).split("_"))
    return {match["key"]: match["value"] for match in found if match and match["key"] not in ignored}


def _stem(path: Path) -> str:
    return path.name.partition(".")[0]


def _nifti(paths: Iterable[Path]) -> list[Path]:
    return sorted(path for path in paths if path.name.endswith(SUFFIXES))
