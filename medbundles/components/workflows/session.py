"""One run of a bundle: preflight, lock, run record."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

import torch

from medbundles.checks import verdict
from medbundles.components.device import choose_device, select_device
from medbundles.components.distributed import is_writer, world_size
from medbundles.components.freed_memory import keep_freed_memory
from medbundles.components.workflows import endings, preflight
from medbundles.components.workflows.active_config import active_config, active_files, active_parser
from medbundles.components.workflows.failures import explained
from medbundles.components.workflows.refusal import refuse
from medbundles.components.workflows.rehearsal import rehearse
from medbundles.components.workflows.resume import continue_record
from medbundles.components.workflows.run_data import CaseFinder, Kind, RunData
from medbundles.components.workflows.run_record import RunRecord, Status, read_record, start_record
from medbundles.components.workflows.starting_point import check_cache, check_pretrained
from medbundles.errors import (
    ConfigurationError,
    DataError,
    Finding,
    Interrupted,
    MedbundlesError,
    OutputConflict,
    PartialFailure,
    origin,
)
from medbundles.io.atomic import remove_leftovers
from medbundles.io.datalist import Part, Record
from medbundles.io.headers import Geometry
from medbundles.io.locks import FolderLock
from medbundles.io.model_json import locate_weights

StrPath = str | os.PathLike[str]
WEIGHT_PATTERNS = ("*.pt", "*.safetensors")


class RunSession:
    """What stands around every run: checks before it, a lock and a truthful ``run.json`` during and after it.

    A configuration makes one and touches it first and last in ``run``::

        run: ["$@session.begin()", "$@train::trainer.run()", "$@session.complete(@train::trainer)"]

    In a group of processes every rank checks the configuration, the device and the weights; only the writer (rank 0)
    checks the data of a training, locks and writes.

    Args:
        kind: ``train``, ``evaluate`` or ``infer``.
        bundle: the bundle's name, for the record.
        output_dir: where the run writes; locked while it runs.
        dataset_dir: what it reads; ``None`` for a run without data.
        device: what was asked for (``auto``, ``cpu``, ``cuda:1`` ...) or the device chosen from it.
        seed: recorded.
        overwrite: whether ``output_dir`` may hold something already.
        resume: whether to go on with the run in ``output_dir``, or the checkpoint to go on from; configuration and
            data must be the same but for keys such as ``max_epochs`` and ``device``.
        allow: fault codes of the data that the user takes the responsibility for.
        strict: whether warnings about the data refuse as well.
        checks: functions without arguments that return findings, such as a check of ``medbundles.checks`` with
            ``_mode_: callable``; a bundle adds its own here.
        weights: files of trained weights the run reads, checked and recorded with their SHA-256; ``None`` items are
            left out. With ``bundle_root`` the one file is looked up as ``inference.yaml`` does it: a file, a run's
            folder, or ``None`` for the released weights.
        bundle_root: the bundle's folder, for runs that need weights.
        expected: what ``model.json`` beside the weights must say besides ``channels`` (CFG004); ``None`` compares
            nothing.
        facts: anything else to record.
        channels: channel names in the network's order; ``None`` leaves the images unchecked.
        part: which records ``evaluate`` reads.
        fold: the fold that validates.
        modality: ``CT`` takes the values as HU, ``brain MR`` expects 0 outside of the brain.
        label_values: the values labels may have, background included.
        label_channels: channels of a label after the preprocessing, which the loss is tried with.
        geometry: which NIfTI form counts where sform and qform disagree.
        patch_size: the network's window in voxels, for a note on smaller volumes.
        skip_bad_cases: whether an inference goes on with the good cases; it then ends with exit code 7.
        image_target: whether labels are images to be synthesized, inside the records' masks.
        missing_contrasts: whether cases may lack channels (null in a data list, no file in a folder), all but one.
        channel_aliases: what else the files of a channel may end in, ``{"t1c": ["t1ce"]}``, for an inference.
        find_cases: finds and checks the cases of an inference that are no plain images (:class:`RunData`).
        called: what the user is told has ended; the default is ``kind``.

    Attributes:
        records: after :meth:`begin` the cases of an inference or an evaluation that passed the checks.
        skip_bad_cases: as given.
        findings: what the checks, and later the reading of cases, noted without refusing the run.
        engine: the ignite engine that runs, for the numbers of a failure; :class:`RunStatus` puts it here.
    """

    def __init__(
        self,
        kind: Kind,
        bundle: str,
        output_dir: StrPath,
        dataset_dir: StrPath | None = None,
        device: str | torch.device = "auto",
        seed: int | None = None,
        overwrite: bool = False,
        resume: bool | str = False,
        allow: Sequence[str] | None = None,
        strict: bool = False,
        checks: Sequence[preflight.Check] | None = None,
        weights: StrPath | Sequence[StrPath | None] | None = None,
        bundle_root: StrPath | None = None,
        expected: Mapping[str, Any] | None = None,
        facts: Mapping[str, Any] | None = None,
        channels: Sequence[str] | None = None,
        part: Part = "testing",
        fold: int = 0,
        modality: str | None = None,
        label_values: Sequence[int] | None = None,
        label_channels: int = 1,
        geometry: Geometry | None = None,
        patch_size: Sequence[int] | None = None,
        skip_bad_cases: bool = False,
        image_target: bool = False,
        missing_contrasts: bool = False,
        channel_aliases: Mapping[str, Sequence[str]] | None = None,
        find_cases: CaseFinder | None = None,
        called: str | None = None,
    ) -> None:
        if not isinstance(channels, Sequence):
            channels = None  # from a model.json that says 3 or null; its own check refuses that by its name
        self.kind = kind
        self.called = called or kind
        self.bundle = bundle
        self.output_dir = Path(output_dir)
        self.device = device
        self.seed = seed
        self.overwrite = overwrite
        self.resume = resume
        self.allow = tuple(allow or ())
        self.strict = strict
        self.skip_bad_cases = skip_bad_cases
        self.label_channels = label_channels
        self.checks = tuple(checks or ())
        # Weights trained on other images would be applied without a word.
        self.expected = (
            expected if channels is None or expected is None else {"image_channels": [*channels], **expected}
        )
        self.facts = dict(facts or {})
        self.weights: tuple[Path, ...] = ()
        self.records: list[Record] = []
        self.findings: list[Finding] = []
        self.engine: Any = None
        self.data = (
            None
            if dataset_dir is None
            else RunData(
                kind=kind,
                dataset_dir=Path(dataset_dir),
                channels=_tuple(channels),
                part=part,
                fold=fold,
                modality=modality,
                label_values=_tuple(label_values),
                geometry=geometry,
                patch_size=_tuple(patch_size),
                allow=self.allow,
                strict=strict,
                skip_bad_cases=skip_bad_cases,
                image_target=image_target,
                missing_contrasts=missing_contrasts,
                channel_aliases=channel_aliases,
                find_cases=find_cases,
            )
        )
        self._weights = weights
        self._bundle_root = bundle_root
        self._record: RunRecord | None = None
        self._lock = FolderLock(self.output_dir)

    def begin(self) -> None:
        """Check everything, take the folder and write the first ``run.json``; refuse with every finding at once.

        The network, the inferer and the loss are built here and tried on an empty batch (see ``rehearsal.py``).

        Raises:
            MedbundlesError: a check refused; under ``python -m monai.bundle`` the text is printed and the process
                exits with the error's code.
        """
        if self.kind == "train":
            keep_freed_memory()
        try:
            config = active_config()
            if config is not None:
                self.findings += preflight.check_configuration(config, active_files())
            refusals = preflight.Refusals()
            with refusals.collect():
                select_device(self.device)
            with refusals.collect():
                self.weights = self._find_weights()
                preflight.check_weights(self.weights, self.expected)
                self._check_start()
                self._rehearse()
            earlier = None
            if is_writer():
                with refusals.collect():
                    earlier = self._take_folder(config)
            if is_writer() or self.kind != "train":
                with refusals.collect():
                    self._check_data()
            refusals.raise_any()
            if is_writer():
                self._open(config, earlier)
        except MedbundlesError as error:
            self._lock.abandon()
            refuse(error)

    def note(self, **facts: Any) -> None:
        """Add facts to the run record, such as how many epochs are done; they are written when the run ends."""
        self.facts |= facts

    def admit(self, findings: Sequence[Finding]) -> bool:
        """Judge what was found while a case was read; say whether the run goes on with it.

        Raises:
            DataError: the case must not be used, and ``skip_bad_cases`` is false.
        """
        self.findings += findings
        if not self.skip_bad_cases or not any(verdict.refuses(finding, self.strict) for finding in findings):
            verdict.refuse(findings, strict=self.strict)
            return True
        if self.engine is not None:
            # It counted all cases before the first was read, and would begin anew to get as many.
            self.engine.state.epoch_length = None
        return False

    def refuse_all(self) -> NoReturn:
        """Refuse an inference of which no case is left.

        Raises:
            DataError: with what was wrong with each.
        """
        raise DataError(findings=self._left_out())

    def complete(self, engine: Any = None) -> None:
        """Record that the run is done, or how it ended early.

        Args:
            engine: the ignite engine that ran; when its state says ``interrupted``, so does the record.

        Raises:
            Interrupted: the engine was stopped by a signal, in good order.
            PartialFailure: everything is done but cases were left out by ``skip_bad_cases``.
        """
        state = getattr(engine, "state", None)
        if state is not None:
            self.note(epochs=int(state.epoch), iterations=int(state.iteration))
        if getattr(state, "interrupted", False):
            self.close("interrupted", "stopped by a signal")
            again = f"; go on with --resume true --output_dir {self.output_dir}" if self.kind == "train" else ""
            refuse(Interrupted(f"interrupted{again}"))
        self.close("completed")
        if is_writer():
            print(f"{self.called} completed: {self.output_dir}", file=sys.stderr, flush=True)
        refused = self._left_out()
        if refused:
            cases = sorted({str(finding.case) for finding in refused})
            refuse(PartialFailure(f"{len(cases)} case(s) were left out: {', '.join(cases)}", refused))

    def explained(self, error: BaseException) -> BaseException:
        """Return what an exception means for the user, or the exception itself (see ``failures.py``)."""
        config = self._record.content["config"] if self._record is not None else {}
        return explained(error, self.engine, config)

    def fail(self, error: BaseException) -> None:
        """Record an exception that ends the run; later calls change nothing."""
        told = self.explained(error)
        cause = origin(told)
        self.close(endings.status_of(told), f"{type(cause).__name__}: {cause}")

    def close(self, status: Status, reason: str = "") -> None:
        """Write the end of the run and let the folder go; only the first call counts."""
        if self._record is None or not endings.forget(self):
            return
        self._record.content |= self.facts | {"findings": [finding.as_dict() for finding in self.findings]}
        produced = (path for pattern in WEIGHT_PATTERNS for path in sorted(self.output_dir.glob(pattern)))
        self._record.finish(status, reason, weights=[*produced, *self.weights])
        self._lock.release()

    def _left_out(self) -> list[Finding]:
        """Return why cases were left out; what refuses and belongs to none has ended the run already."""
        return [finding for finding in self.findings if finding.case and verdict.refuses(finding, self.strict)]

    def _find_weights(self) -> tuple[Path, ...]:
        given = [self._weights] if isinstance(self._weights, str | os.PathLike | None) else list(self._weights)
        if self._bundle_root is None:
            return tuple(Path(item) for item in given if item)
        if len(given) != 1:
            raise ConfigurationError("weights: one file or folder is looked up in a bundle, not a list")
        return (locate_weights(self._bundle_root, given[0]),)

    def _check_start(self) -> None:
        parser = active_parser()
        if parser is not None and "cache" in parser:
            check_cache(parser.get_parsed_content("cache"))
        if self.kind == "train":
            channels, folder = (None, None) if self.data is None else (self.data.channels, self.data.dataset_dir)
            self.findings += check_pretrained(self.weights, channels, folder, strict=self.strict)

    def _rehearse(self) -> None:
        parser = active_parser()
        if parser is not None:
            data = self.data
            labeled = data is not None and data.label_values is not None
            rehearse(parser, self.kind, None if data is None else data.channels, labeled, self.label_channels)

    def _take_folder(self, config: dict[str, Any] | None) -> dict[str, Any] | None:
        """Lock the folder and judge what is in it; return the record of the run to go on with, if any."""
        if self.output_dir.exists() and not self.output_dir.is_dir():
            fix = "choose another --output_dir"
            name = self.output_dir.name
            raise OutputConflict(findings=[Finding("TRN005", "error", "the output is a file", fix, file=name)])
        self._lock.acquire()
        earlier = read_record(self.output_dir)
        resumable = self.kind == "train"
        preflight.check_output(self.output_dir, earlier, self.overwrite, bool(self.resume), resumable)
        if isinstance(self.resume, str):
            earlier = read_record(Path(self.resume).parent)
            if earlier is None or not Path(self.resume).is_file():
                absent = "run.json beside" if earlier is None else "checkpoint at"
                message = f"no {absent} {self.resume}: there is nothing to go on from"
                fix = "resume in the run's own folder, or start from its weights with --pretrained"
                raise DataError(findings=[Finding("TRN011", "error", message, fix, file=Path(self.resume).name)])
        if not self.resume or earlier is None:
            return None
        preflight.check_same_run(earlier, config, self._fingerprint())
        return earlier

    def _check_data(self) -> None:
        if self.data is not None:
            self.records, findings = self.data.check()
            self.findings += findings
        self.findings += preflight.run_checks(self.checks, self.allow, self.strict)

    def _fingerprint(self) -> dict[str, Any] | None:
        return self.data.fingerprint() if self.data is not None and self.data.dataset_dir.exists() else None

    def _open(self, config: dict[str, Any] | None, earlier: dict[str, Any] | None) -> None:
        choice = choose_device(self.device)
        rate = (config or {}).get("learning_rate")
        facts = {
            "seed": self.seed,
            "learning_rate": rate if isinstance(rate, int | float) else None,
            "device": str(choice.device),
            "device_reason": choice.reason,
            "processes": world_size(),
            "data": self._fingerprint(),
            **self.facts,
        }
        remove_leftovers(self.output_dir)
        content = start_record(self.kind, self.bundle, config, self.findings, facts)
        self._record = RunRecord(self.output_dir, content if earlier is None else continue_record(earlier, content))
        self._record.write()
        endings.watch(self)
        if self.kind != "train" and self.weights:
            root = self._bundle_root
            own = root is not None and self.weights[0].resolve().is_relative_to(Path(root).resolve())
            whose = " (the bundle's own)" if own else "" if self._weights else " (the released ones)"
            print(f"weights: {self.weights[0]}{whose}", file=sys.stderr, flush=True)


def _tuple(items: Sequence[Any] | None) -> tuple[Any, ...] | None:
    return None if items is None else tuple(items)
