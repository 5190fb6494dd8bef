"""Cases of several MR contrasts and one label, as they were found in a public data set."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from medbundles.io.grids import IMAGE_SUFFIXES

# The names of BraTS 2023, in the order in which prepared folders list them.
CONTRASTS = ("t1n", "t1c", "t2w", "t2f")
Layout = Literal["BraTS 2015-2021", "BraTS 2023", "Decathlon", "pattern"]
# A contrast's name becomes the end of a file's name.
CONTRAST_NAME = re.compile(r"[A-Za-z0-9-]+")


@dataclass(frozen=True)
class ContrastCase:
    """One case of a data set with several contrasts.

    Attributes:
        name: its identifier.
        subject: whose images these are; several cases of one person share it.
        images: one file a contrast in the source's order, None where it is absent.
        label: its label file; None where there is none.
        mask: its brain's mask, where one was asked for.
        lone_label: whether the label has a name of its own and was taken because no other file was left.
    """

    name: str
    subject: str
    images: tuple[Path | None, ...]
    label: Path | None
    mask: Path | None = None
    lone_label: bool = False

    @property
    def present(self) -> list[Path]:
        """The files of the contrasts there are, each once."""
        return list(dict.fromkeys(path for path in self.images if path is not None))


@dataclass(frozen=True)
class ContrastSource:
    """A data set with several contrasts.

    Attributes:
        layout: how its files are named.
        contrasts: names in order.
        cases: sorted by name.
        volumes: where each contrast lies along the fourth axis of a case's only image; empty for one file a contrast.
        label_map: what the data set itself says about its label values, as values of BraTS 2023; None: nothing.
    """

    layout: Layout
    contrasts: tuple[str, ...]
    cases: tuple[ContrastCase, ...]
    volumes: tuple[int, ...] = ()
    label_map: Mapping[int, int] | None = field(default=None)


def canonical(names: Iterable[str]) -> tuple[str, ...]:
    """Return contrasts in the order in which they are listed: those of BraTS first, others as they came."""
    given = list(dict.fromkeys(names))
    known = [name for name in CONTRASTS if name in given]
    return (*known, *(name for name in given if name not in known))


def volume_files(root: Path) -> list[Path]:
    """Return all volumes below a folder, sorted; hidden files and what lies in hidden folders are ignored."""
    # What macOS leaves on other systems' disks begins with ._
    return sorted(
        path
        for path in root.rglob("*")
        if path.name.lower().endswith(IMAGE_SUFFIXES)
        and not any(part.startswith(".") for part in path.relative_to(root).parts)
        and path.is_file()
    )
