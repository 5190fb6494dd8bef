"""Find the configuration that is being evaluated right now.

MONAI evaluates ``"$@session.begin()"`` without telling the session which configuration it belongs to: plain
``python -m monai.bundle run`` knows no hook for that. The parser is on the call stack, though, since it is what calls
us, so it is looked up there. This is the only place that does so.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path
from types import FrameType
from typing import Any

from monai.bundle import scripts
from monai.bundle.config_parser import ConfigParser


def active_parser() -> ConfigParser | None:
    """Return the MONAI parser nearest on the call stack, or ``None`` when no configuration is being evaluated."""
    owners = (frame.f_locals.get("self") for frame in _frames())
    return next((owner for owner in owners if isinstance(owner, ConfigParser)), None)


def active_files() -> list[Path]:
    """Return the files that plain ``monai.bundle run`` was started with, for checks of their text.

    Empty under every other caller: :class:`StrictWorkflow` has checked its files itself.
    """
    run_code = scripts.run.__code__
    given = next((frame.f_locals.get("config_file") for frame in _frames() if frame.f_code is run_code), None)
    names = given.split(",") if isinstance(given, str) else given
    return [path for path in map(Path, names or ()) if path.is_file()]


def active_config() -> dict[str, Any] | None:
    """Return a copy of the raw configuration (overrides included, macros resolved) that is being evaluated.

    Returns:
        Plain data without the bundle's metadata, or ``None`` when nothing is being evaluated: a session made in Python.
    """
    parser = active_parser()
    return None if parser is None else raw_config(parser)


def raw_config(parser: ConfigParser) -> dict[str, Any]:
    """Return a copy of a parser's configuration as it was read, without the metadata MONAI puts beside it."""
    content = parser.get()
    return {key: deepcopy(value) for key, value in content.items() if key != ConfigParser.meta_key}


def _frames() -> Iterator[FrameType]:
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        yield frame
        frame = frame.f_back
