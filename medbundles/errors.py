"""Exit codes, findings and the exceptions that carry them: one table for the whole package."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from enum import IntEnum
from typing import Literal

Level = Literal["note", "warning", "error"]
# What libraries raise when arguments do not fit, in a constructor or where shapes first meet.
MISFITS = (ArithmeticError, AssertionError, AttributeError, LookupError, NameError, RuntimeError, TypeError, ValueError)


class ExitCode(IntEnum):
    """What a command's exit status means (reference: docs/reference/exit_codes.md)."""

    DONE = 0
    BUG = 1
    USAGE = 2
    DATA = 3
    ENVIRONMENT = 4
    UNTRUSTED = 5
    OUTPUT = 6
    PARTIAL = 7
    INTERRUPTED = 130


@dataclass(frozen=True)
class Finding:
    """One thing a check has to say.

    Attributes:
        code: fault code such as ``NII004`` (reference: docs/reference/fault_codes.md).
        level: ``note`` (recorded), ``warning`` (shown) or ``error`` (refused).
        message: what was found and what was expected, with units.
        fix: what the user can do about it.
        case: the case's name, when the finding belongs to one.
        file: the file's name (never a full path with a patient's folder in it).
        allowable: whether the user may take the responsibility for an error (key ``allow``); only where what is
            uncertain is geometry or meaning, and the work can go on all the same.
    """

    code: str
    level: Level
    message: str
    fix: str = ""
    case: str | None = None
    file: str | None = None
    allowable: bool = False

    def __str__(self) -> str:
        where = ", ".join(part for part in (f"case {self.case}" if self.case else "", self.file or "") if part)
        return f"{self.level}[{self.code}] {where + ': ' if where else ''}{self.message}" + (
            f"; {self.fix}" if self.fix else ""
        )

    def as_dict(self) -> dict[str, str | None]:
        """Return the finding as plain data for ``--json`` and ``run.json``."""
        return {key: value for key, value in asdict(self).items() if key != "allowable"}


class MedbundlesError(Exception):
    """An expected failure: it is shown without a traceback and ends with its own exit code.

    Args:
        message: one line for the user; may be empty when ``findings`` say it all.
        findings: every finding that led to the refusal, most serious first.
    """

    exit_code: ExitCode = ExitCode.BUG

    def __init__(self, message: str = "", findings: Iterable[Finding] = ()) -> None:
        self.message = message
        self.findings = tuple(findings)
        super().__init__(str(self))

    def __str__(self) -> str:
        return "\n".join([*map(str, self.findings), *([self.message] if self.message else [])])

    def told(self) -> str:
        """Return what a user is told at the end of a run."""
        return str(self)


class ConfigurationError(MedbundlesError):
    """A command line or a configuration that cannot be meant (exit 2)."""

    exit_code = ExitCode.USAGE

    def told(self) -> str:
        """Return the findings; a message alone, as components raise it, is one."""
        return str(self) if self.findings else str(Finding("CFG002", "error", self.message))


class DataError(MedbundlesError):
    """Input data that must not be used as it is (exit 3)."""

    exit_code = ExitCode.DATA


class EnvironmentFailure(MedbundlesError):
    """The machine lacks something: device, memory, disk, an optional package (exit 4)."""

    exit_code = ExitCode.ENVIRONMENT


class UntrustedContent(MedbundlesError):
    """Content that would run code when it is loaded (exit 5)."""

    exit_code = ExitCode.UNTRUSTED


class OutputConflict(MedbundlesError):
    """The output exists already or another run holds it (exit 6)."""

    exit_code = ExitCode.OUTPUT


class PartialFailure(MedbundlesError):
    """A batch was finished, some of its cases were not (exit 7)."""

    exit_code = ExitCode.PARTIAL


class Interrupted(MedbundlesError):
    """The user or the system asked for a stop; the state was saved (exit 130)."""

    exit_code = ExitCode.INTERRUPTED


class Terminated(KeyboardInterrupt):
    """The system asked for a stop (SIGTERM): it ends like Ctrl-C, which a terminal sends to child processes, too."""


def causes(error: BaseException) -> Iterator[BaseException]:
    """Yield an exception and what led to it, outermost first.

    MONAI wraps whatever an expression of a configuration raises in a ``RuntimeError``: what it means is further down.
    """
    seen: set[int] = set()
    current: BaseException | None = error
    while current is not None and id(current) not in seen:
        seen.add(id(current))
        yield current
        # `raise ... from None` says that what came before is no cause.
        current = current.__cause__ or (None if current.__suppress_context__ else current.__context__)


def origin(error: BaseException) -> BaseException:
    """Return the exception that says why: ours where there is one in the chain, else the innermost that says anything.

    What MONAI and ignite put around it ("applying transform ...", "Failed to evaluate ...") tells only where.
    """
    chain = list(causes(error))
    ours = next((cause for cause in chain if isinstance(cause, MedbundlesError | KeyboardInterrupt)), None)
    return ours or next((cause for cause in reversed(chain) if str(cause)), error)


def reason_of(error: BaseException) -> str:
    """Return in one line what :func:`origin` says, its class where it says nothing."""
    first = origin(error)
    return " ".join(str(first).split()) or type(first).__name__
