"""Names of synthetic series."""

from __future__ import annotations

import hashlib
import uuid


def series_uid(seed: int, case: int) -> str:
    """Return a DICOM series UID under the UUID root 2.25 (ITU-T X.667), which no archive's own root contains."""
    digest = hashlib.sha256(f"lung nodule samples {seed} {case}".encode()).digest()
    return f"2.25.{uuid.UUID(bytes=digest[:16], version=4).int}"
