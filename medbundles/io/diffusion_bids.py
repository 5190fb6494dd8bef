"""Diffusion MRI in a BIDS data set."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path

from medbundles.errors import Finding
from medbundles.io.diffusion_case import DiffusionCase, choose, is_hidden, nifti_files
from medbundles.io.gradients import gradient_files

# A session of a person, a person, or a data set: what may be given.
PLACES = ("", "ses-*/", "sub-*/", "sub-*/ses-*/")
SUBJECT = re.compile(r"sub-[A-Za-z0-9]+")
ENTITY = re.compile(r"(?P<key>[a-z]+)-(?P<value>[A-Za-z0-9]+)")
# Parts of complex numbers; what is fitted is their magnitude.
NO_MAGNITUDE = ("phase", "real", "imag")
MASK = re.compile(r"sub-.*_mask\.nii", re.IGNORECASE)
# Files that a note names; derivatives may hold thousands.
MOST_NAMED = 5
# Folders of a data set that hold no raw data by the standard.
NOT_RAW = ("derivatives", "sourcedata")


def bids_images(root: Path) -> list[Path]:
    """Return the diffusion images of a BIDS data set, of one of its subjects or of a session."""
    found = {path for place in PLACES for path in nifti_files(root.glob(f"{place}dwi/sub-*_dwi.nii*"))}
    return sorted(path for path in found if SUBJECT.match(path.name) and is_magnitude(path))


def bids_case(image: Path, root: Path, with_t1w: bool = True) -> tuple[DiffusionCase, list[Finding]]:
    """Return what belongs to an image, and findings on what was chosen among several files.

    Args:
        image: one of :func:`bids_images`.
        root: where inherited ``.bval`` and ``.bvec`` files are looked for at most.
        with_t1w: whether a T1w is looked for.
    """
    name = _stem(image).removesuffix("_dwi")
    b_values, b_vectors = (_inherited(image, path, root) for path in gradient_files(image))
    mask, findings = _choose_mask(image, name)
    t1w, notes = _choose_t1w(image, name) if with_t1w else (None, [])
    subject = f"sub-{_entities(image)['sub']}"
    return DiffusionCase(name, subject, image, b_values, b_vectors, mask, t1w), [*findings, *notes]


def is_magnitude(image: Path) -> bool:
    """Tell whether an image is none of a phase or of another part of complex numbers."""
    return _entities(image).get("part") not in NO_MAGNITUDE


def unused_masks(root: Path, visible: Iterable[Sequence[Path]], taken: Collection[Path | None]) -> list[Finding]:
    """Return one note on the masks of diffusion images that no case has, or nothing.

    Args:
        root: the data set.
        visible: its files, folder by folder; those of ``derivatives`` are on grids of their own and are never taken.
        taken: masks that cases have.
    """
    masks = [path for files in visible for path in nifti_files(files) if MASK.match(path.name)]
    unused = [path.relative_to(root).as_posix() for path in masks if path.parent.name == "dwi" and path not in taken]
    if not unused:
        return []
    more = f" and {len(unused) - MOST_NAMED} more" if len(unused) > MOST_NAMED else ""
    message = f"not taken for the brain: {', '.join(unused[:MOST_NAMED])}{more}"
    fix = "a mask on its image's grid is taken where it lies beside it as NAME_desc-brain_mask.nii.gz"
    return [Finding("NII008", "note", message, f"{fix}, the image being NAME_dwi.nii.gz")]


def _choose_mask(image: Path, name: str) -> tuple[Path | None, list[Finding]]:
    """Return the brain's mask: a lesion's or a tissue's is called so by another ``desc`` or by a ``label``."""
    wanted = _entities(image, ("desc",))
    masks = [path for path in nifti_files(image.parent.glob("*_mask.nii*")) if _entities(path, ("desc",)) == wanted]
    kinds = [[path for path in masks if _entities(path).get("desc") == desc] for desc in ("brain", None)]
    return choose(kinds, "mask", name)


def _choose_t1w(image: Path, name: str) -> tuple[Path | None, list[Finding]]:
    """Return the T1w of the same session, or else the person's of no session, or else of another session."""
    session = image.parent.parent
    person = session.parent if session.name.startswith("ses-") else session
    own = nifti_files(session.glob("anat/*_T1w.nii*"))
    above = nifti_files(person.glob("anat/*_T1w.nii*"))
    others = nifti_files(person.glob("ses-*/anat/*_T1w.nii*"))
    files = own or above or others
    if not files or len(own) == 1:
        return next(iter(files), None), []
    place = "" if own else ", of no session" if above else ", of another session"
    first = f", the first of {len(files)}" if len(files) > 1 else ""
    return files[0], [Finding("NII008", "note", f"T1w {files[0].name} was taken{place}{first}", case=name)]


def _inherited(image: Path, expected: Path, root: Path) -> Path:
    """Return the nearest file that applies to an image: beside it, or above it with a part of its name (BIDS)."""
    if expected.is_file():
        return expected
    wanted = _entities(image)
    folder = image.parent
    while folder != root.parent and folder != folder.parent:
        for path in sorted(folder.glob(f"*dwi{expected.suffix}"), key=lambda path: -len(path.name)):
            if _entities(path).items() <= wanted.items() and not is_hidden(path):
                return path
        folder = folder.parent
    return expected


def _entities(path: Path, ignored: Sequence[str] = ()) -> dict[str, str]:
    found = (ENTITY.fullmatch(part) for part in _stem(path).split("_"))
    return {match["key"]: match["value"] for match in found if match and match["key"] not in ignored}


def _stem(path: Path) -> str:
    return path.name.partition(".")[0]
