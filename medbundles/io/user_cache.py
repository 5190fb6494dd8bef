"""Where results are kept that can be computed again."""

from __future__ import annotations

import os
from pathlib import Path

CACHE_VARIABLE = "MEDBUNDLES_CACHE"


def user_cache(kind: str) -> Path:
    """Return the folder for one kind of cached results; it need not exist.

    It lies in the user's cache folder of the operating system, or where ``MEDBUNDLES_CACHE`` says.

    Args:
        kind: name of a sub-folder, for example ``checks``.
    """
    import platformdirs

    chosen = os.environ.get(CACHE_VARIABLE)
    return (Path(chosen) if chosen else platformdirs.user_cache_path("medbundles", appauthor=False)) / kind
