"""The files that a run's checkpoints are kept in."""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from medbundles.components.tensor_file import read_tensor_file, write_tensor_file
from medbundles.errors import DataError, Finding, UntrustedContent
from medbundles.io.atomic import atomic_path

LAST, PREVIOUS, BEST = RESUMABLE_FILES = ("last.pt", "previous.pt", "best.pt")
logger = logging.getLogger(__name__)


class CheckpointFolder:
    """``last.pt``, ``previous.pt``, ``best.pt`` and weight files in one folder.

    Args:
        path: the folder; made when the first file is written.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)

    def write(self, name: str, content: Mapping[str, Any]) -> None:
        """Write one file atomically.

        Raises:
            EnvironmentFailure: the disk is full; the file of that name is untouched.
        """
        write_tensor_file(self.path / name, content)

    def write_last(self, content: Mapping[str, Any]) -> None:
        """Write ``last.pt`` and keep the one before as ``previous.pt``; at no moment is there none."""
        last = self.path / LAST
        if last.exists():
            with atomic_path(self.path / PREVIOUS) as temporary:
                _link_or_copy(last, temporary)
        self.write(LAST, content)

    def read(self, file: Path) -> Any:
        """Read a checkpoint.

        Raises:
            DataError: it is missing (TRN011) or damaged (TRN007); the good one of the latest epoch beside it is named.
            UntrustedContent: it holds more than tensors and plain values (TRU002).
        """
        try:
            content = read_tensor_file(file)
            if not _is_checkpoint(content):
                message = "weights only, no checkpoint to resume from"
                raise DataError(findings=[Finding("TRN007", "error", message, file=file.name)])
        except DataError as error:
            fix = _advice(file)
            raise DataError(
                findings=[Finding(f.code, f.level, f.message, fix, file=f.file) for f in error.findings]
            ) from error
        return content

    def forget(self) -> None:
        """Remove the checkpoints of an earlier run that is started anew: resuming must never mix the two."""
        for name in RESUMABLE_FILES:
            (self.path / name).unlink(missing_ok=True)

    def to_resume(self, resume: bool | str | os.PathLike[str]) -> Path | None:
        """Return the checkpoint that the key ``resume`` means, or ``None`` to start from the beginning."""
        # Plain `monai.bundle run` reads `--resume true` as text.
        resume = {"true": True, "false": False}.get(str(resume).lower(), resume)
        if resume is False or resume is None:
            return None
        if resume is not True:
            return Path(resume)
        last = self.path / LAST
        if not any((self.path / name).exists() for name in RESUMABLE_FILES):
            logger.warning("no checkpoint in %s yet: starting with epoch 1", self.path)
            return None
        return last


def _link_or_copy(source: Path, target: Path) -> None:
    try:
        target.hardlink_to(source)
    except OSError:
        # Some file systems have no hard links.
        shutil.copyfile(source, target)


def _advice(file: Path) -> str:
    """Name the good checkpoint of the latest epoch beside a bad one; a copied file's time says nothing about it."""
    others = [file.parent / name for name in RESUMABLE_FILES if name != file.name]
    good = [(epoch, other) for other in others if (epoch := _epoch_of(other)) is not None]
    if not good:
        return "no other checkpoint in its folder is good: start again without --resume"
    epoch, latest = max(good, key=lambda found: found[0])
    return f"{latest.name} of epoch {epoch} is good: --resume {latest}"


def _epoch_of(file: Path) -> int | None:
    """Return the epoch a checkpoint was written after, or ``None`` where there is no good one."""
    try:
        content = read_tensor_file(file)
    except (DataError, UntrustedContent):
        return None
    trainer = content["trainer"] if _is_checkpoint(content) else None
    epoch = trainer.get("epoch") if isinstance(trainer, dict) else None
    return epoch if isinstance(epoch, int) else None


def _is_checkpoint(content: Any) -> bool:
    return isinstance(content, dict) and {"networks", "objects", "trainer", "evaluator"} <= content.keys()
