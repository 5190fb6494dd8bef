"""Packages that only some users need."""

from __future__ import annotations

import importlib.util

from medbundles.errors import EnvironmentFailure


def require_package(package: str, extra: str, purpose: str) -> None:
    """Refuse before anything takes time what cannot be done without an optional package.

    Args:
        package: its import name.
        extra: of this package, that installs it.
        purpose: what it is needed for, as the beginning of a sentence.

    Raises:
        EnvironmentFailure: it is not installed.
    """
    if importlib.util.find_spec(package) is None:
        raise EnvironmentFailure(f"{purpose} needs the package {package}; pip install 'medbundles[{extra}]'")
