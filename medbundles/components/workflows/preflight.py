"""What is checked before a run starts: configuration first, then device, weights, output and data together."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from medbundles.checks.config import check_config, check_file, check_model, differences
from medbundles.checks.model import check_description
from medbundles.checks.vendored import check_loaded_version
from medbundles.checks.verdict import refuse
from medbundles.components.networks.weights import read_weights_or_advise
from medbundles.components.workflows.resume import config_difference
from medbundles.components.workflows.run_record import RECORD_NAME
from medbundles.errors import (
    ConfigurationError,
    DataError,
    EnvironmentFailure,
    Finding,
    MedbundlesError,
    OutputConflict,
)
from medbundles.io.locks import LOCK_NAME
from medbundles.io.model_json import read_model

Check = Callable[[], Iterable[Finding]]


class Refusals:
    """Collect what refuses, so that the user sees everything at once.

    Use as ``with refusals.collect(): check()`` around each check, then :meth:`raise_any`.
    """

    def __init__(self) -> None:
        self._errors: list[MedbundlesError] = []

    def __bool__(self) -> bool:
        return bool(self._errors)

    @contextmanager
    def collect(self) -> Iterator[None]:
        """Keep an expected failure of the block instead of raising it."""
        try:
            yield
        except MedbundlesError as error:
            self._errors.append(error)

    def raise_any(self) -> None:
        """Raise everything collected as one error.

        Raises:
            MedbundlesError: of the class, and so with the exit code, of the first refusal.
        """
        if len(self._errors) == 1:
            raise self._errors[0]
        if self._errors:
            findings = [finding for error in self._errors for finding in error.findings]
            raise type(self._errors[0])("\n".join(filter(None, (error.message for error in self._errors))), findings)


def check_configuration(config: Mapping[str, Any], files: Iterable[Path] = ()) -> list[Finding]:
    """Check the raw configuration of a run, and that the package that checks is the one the bundle came with.

    Args:
        config: what will be evaluated; its ``bundle_root`` says where the bundle lies.
        files: configuration files whose text is checked, too.

    Returns:
        Findings that do not refuse.

    Raises:
        EnvironmentFailure: another version of this package is loaded (CFG005).
        ConfigurationError: CFG001, CFG002, CFG003.
    """
    bundle_root = config.get("bundle_root")
    other_version = check_loaded_version(bundle_root) if isinstance(bundle_root, str) else []
    if other_version:
        raise EnvironmentFailure(findings=other_version)
    findings = [*(finding for file in files for finding in check_file(file)), *check_config(config)]
    if any(finding.level == "error" for finding in findings):
        raise ConfigurationError(findings=findings)
    return findings


def check_weights(weights: Iterable[Path], expected: Mapping[str, Any] | None) -> None:
    """Refuse weights that are missing or were trained as something else than the configuration says.

    Args:
        weights: files the run reads.
        expected: what ``model.json`` beside the first of them must say; ``None`` compares nothing.

    Raises:
        DataError: a file is missing (TRN011) or damaged (TRN007).
        UntrustedContent: a file holds more than tensors (TRU002).
        ConfigurationError: ``model.json`` says something else, or something impossible (CFG004).
    """
    files = list(weights)
    fix = "train first, or choose others with --weights"
    missing = [file for file in files if not file.is_file()]
    if missing:
        raise DataError(
            findings=[Finding("TRN011", "error", f"no weights at {file}", fix, file=file.name) for file in missing]
        )
    if expected is not None and files:
        model = read_model(files[0])
        # What cannot be meant is no use to compare with.
        findings = check_description(model) or check_model(model, expected)
        if findings:
            raise ConfigurationError(findings=findings)
    for file in files:
        read_weights_or_advise(file)


def check_output(
    output_dir: Path, earlier: Mapping[str, Any] | None, overwrite: bool, resume: bool, resumable: bool = True
) -> None:
    """Refuse an output folder that holds something nobody allowed to touch; its lock is held already.

    Args:
        output_dir: where the run writes.
        earlier: ``run.json`` in it, if any.
        overwrite: whether files in it may be written over.
        resume: whether the run in it is to be continued.
        resumable: whether this kind of run can be.

    Raises:
        OutputConflict: the folder holds files and may be neither overwritten nor resumed (TRN005).
    """
    ours = {LOCK_NAME, RECORD_NAME} if _did_nothing(earlier) else {LOCK_NAME}
    held = [path.name for path in output_dir.iterdir() if path.name not in ours]
    if not held or overwrite or (resume and earlier is not None):
        return
    if earlier is None:
        message = f"{output_dir} holds {len(held)} file(s)" + (" and no run.json: no run to resume" if resume else "")
        fix = "choose another --output_dir, or pass --overwrite true"
    else:
        # The lock is ours: a record that says "running" has lost its process (kill -9, out of memory, power).
        status = "was killed" if earlier.get("status") == "running" else f"has status {earlier.get('status')}"
        message = f"{output_dir} holds a run that {status}"
        again = "--resume true to go on with it or " if resumable else ""
        fix = f"choose another --output_dir, or pass {again}--overwrite true"
    raise OutputConflict(findings=[Finding("TRN005", "error", message, fix)])


def _did_nothing(earlier: Mapping[str, Any] | None) -> bool:
    """Return whether a run failed before its first iteration: a mistake in a key, mended and tried again."""
    return earlier is not None and earlier.get("status") == "failed" and not earlier.get("iterations")


def check_same_run(
    earlier: Mapping[str, Any], config: Mapping[str, Any] | None, data: Mapping[str, Any] | None
) -> None:
    """Refuse to go on with a run whose configuration or data was another.

    Args:
        earlier: its ``run.json``.
        config: the raw configuration now; ``None`` compares nothing.
        data: the data's fingerprint now.

    Raises:
        ConfigurationError: with one line for each value that differs (TRN002).
    """
    fix = "resume with the same values, or start anew in another --output_dir"
    lines = [] if config is None else config_difference(earlier.get("config", {}), config)
    before, now = (
        {key: value for key, value in (facts or {}).items() if key != "dataset_dir"}
        for facts in (earlier.get("data"), data)
    )
    lines += [f"data {key}: {theirs} before, {ours} now" for key, theirs, ours in differences(before, now)]
    if lines:
        raise ConfigurationError(findings=[Finding("TRN002", "error", line, fix) for line in lines])


def run_checks(checks: Iterable[Check], allow: Collection[str] = (), strict: bool = False) -> list[Finding]:
    """Run a bundle's own checks.

    Args:
        checks: each returns findings, or raises.
        allow: fault codes whose allowable errors become warnings.
        strict: whether warnings refuse as well.

    Raises:
        MedbundlesError: a check raised it, or found an error (DataError).
    """
    refusals = Refusals()
    findings: list[Finding] = []
    for check in checks:
        with refusals.collect():
            findings += check()
    with refusals.collect():
        findings = refuse(findings, allow, strict)
    refusals.raise_any()
    return findings
