"""One writer per folder."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from filelock import FileLock, Timeout

from medbundles.errors import Finding, OutputConflict

LOCK_NAME = "run.lock"


class FolderLock:
    """Hold a folder for one process; the operating system lets go when the process ends, however it ends.

    Args:
        folder: the folder to hold; made when it is missing.
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self.path = Path(folder) / LOCK_NAME
        self._lock = FileLock(self.path)
        self._made: list[Path] = []
        self._new = False

    def acquire(self) -> None:
        """Take the folder.

        Raises:
            OutputConflict: another process holds it (TRN005).
        """
        folder = self.path.parent
        self._made = [path for path in (folder, *folder.parents) if not path.exists()]
        self._new = not self.path.exists()
        folder.mkdir(parents=True, exist_ok=True)
        try:
            self._lock.acquire(timeout=0)
        except Timeout as error:
            message = f"another run is writing to {self.path.parent}"
            fix = "wait for it, or choose another --output_dir"
            raise OutputConflict(findings=[Finding("TRN005", "error", message, fix, file=LOCK_NAME)]) from error

    def release(self) -> None:
        """Let the folder go; harmless when it is not held. The file itself stays: removing it could race."""
        if self._lock.is_locked:
            self._lock.release()

    def abandon(self) -> None:
        """Let the folder go after a refusal, as it was before: what was made for the lock and is empty goes, too."""
        if not self._lock.is_locked:
            return
        if self._new:
            self.path.unlink(missing_ok=True)
        self._lock.release()
        with suppress(OSError):  # not empty: somebody else writes there
            for folder in self._made:
                folder.rmdir()
