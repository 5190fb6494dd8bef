"""How a refusal leaves the program: as an exception, or under ``python -m monai.bundle`` as an exit status."""

from __future__ import annotations

import sys
from typing import NoReturn

from medbundles.components.distributed import is_writer
from medbundles.errors import MedbundlesError


def refuse(error: MedbundlesError) -> NoReturn:
    """End the run with this error's text and exit code.

    MONAI's own command line would bury the text under two tracebacks and end with 1, so there the text is printed and
    the process exits. Every other caller (our commands, a notebook, a test) gets the exception.
    """
    if not monai_is_the_program():
        raise error
    if is_writer():
        print(error.told(), file=sys.stderr, flush=True)
    raise SystemExit(int(error.exit_code))


def monai_is_the_program() -> bool:
    """Return whether this process was started as ``python -m monai.bundle`` (torchrun included)."""
    specification = getattr(sys.modules.get("__main__"), "__spec__", None)
    return specification is not None and specification.name.startswith("monai.bundle")
