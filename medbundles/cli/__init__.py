"""The ``medbundles`` command: thin sub-commands, one file each, heavy imports inside the functions."""

from __future__ import annotations

import signal
import sys
from types import FrameType

import typer

from medbundles.cli import check, copy, doctor, export, generalize, info, join, prepare, run, samples
from medbundles.errors import EnvironmentFailure, MedbundlesError, Terminated, causes

app = typer.Typer(
    name="medbundles",
    help="Train, evaluate and apply medical imaging networks as MONAI bundles. Research software, no medical device.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
# In the order in which a new user needs them.
for command in (samples, prepare, check, run, join, generalize, export, copy, info, doctor):
    command.register(app)


def main() -> None:
    """Run the command line; an expected failure prints its findings on stderr and ends with its own exit code."""
    signal.signal(signal.SIGTERM, _terminate)
    try:
        app()
    except (MedbundlesError, RuntimeError, OSError) as error:
        # MONAI wraps whatever an expression of a configuration raises; the user must not notice.
        refusal = next((cause for cause in causes(error) if isinstance(cause, MedbundlesError)), None)
        refusal = refusal or next(
            (_of_the_machine(cause) for cause in causes(error) if isinstance(cause, OSError)), None
        )
        if refusal is None:
            raise
        print(refusal.told(), file=sys.stderr)
        sys.exit(int(refusal.exit_code))


def _terminate(number: int, frame: FrameType | None) -> None:
    # A stop the system asks for ends like one the user asks for, unless a training's handler takes it over.
    raise Terminated


def _of_the_machine(error: OSError) -> EnvironmentFailure:
    """Say in a line what the system refused: a folder that cannot be written, a disk that is full, ..."""
    place = f" ({error.filename})" if error.filename else ""
    return EnvironmentFailure(f"{error.strerror or error}{place}; check the path, its permissions and the free space")
