"""The ``medbundles`` command: thin sub-commands, one file each, heavy imports inside the functions."""

from __future__ import annotations

import importlib
import importlib.util
import sys

import typer

from medbundles.errors import MedbundlesError

app = typer.Typer(
    name="medbundles",
    help="Train, evaluate and apply medical imaging networks as MONAI bundles. Research software, no medical device.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
# In the order in which a new user needs them.
# run.py adds train, evaluate and infer (`register(app: typer.Typer) -> None`, like every file here).
for command in ("samples", "prepare", "check", "run", "export", "copy", "info", "doctor"):
    if importlib.util.find_spec(f"medbundles.cli.{command}"):
        importlib.import_module(f"medbundles.cli.{command}").register(app)


def main() -> None:
    """Run the command line; an expected failure prints its findings on stderr and ends with its own exit code."""
    try:
        app()
    except (MedbundlesError, RuntimeError) as error:
        refusal = refusal_behind(error)
        if refusal is None:
            raise
        print(refusal, file=sys.stderr)
        sys.exit(int(refusal.exit_code))


def refusal_behind(error: BaseException) -> MedbundlesError | None:
    """Return the expected failure at the bottom of an exception's causes.

    MONAI wraps whatever an expression of a configuration raises in a ``RuntimeError``; the user must not notice.
    """
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, MedbundlesError):
            return seen
        seen = seen.__cause__ or seen.__context__
    return None
