"""What the keys ``fusion`` and ``view`` may say."""

from __future__ import annotations

from collections.abc import Collection
from difflib import get_close_matches
from typing import Literal, get_args

from medbundles.errors import ConfigurationError, Finding

Fusion = Literal["input", "feature", "decision"]
View = Literal["3d", "three_plane", "three_plane_3d"]
FUSIONS: tuple[str, ...] = get_args(Fusion)
VIEWS: tuple[str, ...] = get_args(View)


def refuse_unknown(key: str, found: object, known: Collection[str]) -> None:
    """Refuse a name that is none of the known ones.

    Raises:
        ConfigurationError: it names the known ones, and one that may have been meant (CFG002).
    """
    if isinstance(found, str) and found in known:
        return
    near = get_close_matches(str(found).lower(), {name.lower(): name for name in known}, n=1, cutoff=0.5)
    meant = next((f"did you mean {name}?" for name in known if name.lower() in near), "")
    message = f"unknown {key} {found!r}, known: {', '.join(known)}"
    raise ConfigurationError(findings=[Finding("CFG002", "error", message, meant)])
