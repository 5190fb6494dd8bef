"""Volumes that come into a prepared folder as they are."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from medbundles.io.atomic import atomic_path
from medbundles.io.images import read_volume, write_volume

STORED_SUFFIX = ".nii.gz"


def bring(source: Path, target: Path) -> None:
    """Put a volume under another name: hard linked, copied where that is not possible, converted if it is no NIfTI.

    A hard link costs no disk and cannot be changed from here: this package replaces files, it never writes into them.
    """
    if not source.name.lower().endswith(STORED_SUFFIX):
        volume = read_volume(source)
        write_volume(target, volume.array, volume.affine)
        return
    target.unlink(missing_ok=True)
    try:
        os.link(source.resolve(), target)
    except OSError:  # another file system, or one without hard links
        with atomic_path(target) as temporary:
            shutil.copyfile(source, temporary)
