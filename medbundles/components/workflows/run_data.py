"""The data a run reads: what it is called, what is checked of it, what identifies it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from medbundles.checks.cases import check_cases
from medbundles.checks.dataset import check_dataset, check_records
from medbundles.checks.verdict import refuse
from medbundles.errors import DataError, Finding
from medbundles.io.cases import look_for_cases
from medbundles.io.datalist import DATALIST_NAME, Part, Record, records
from medbundles.io.hashing import sha256_data, sha256_file
from medbundles.io.headers import Geometry

Kind = Literal["train", "evaluate", "infer"]
CaseFinder = Callable[..., tuple[Sequence[Record], Sequence[Finding]]]


@dataclass(frozen=True)
class RunData:
    """What a run reads and what it must look like.

    Attributes:
        kind: ``train`` reads the training and validation records, ``evaluate`` one part, ``infer`` any cases.
        dataset_dir: a prepared folder, or for ``infer`` raw cases.
        channels: channel names in the network's order; ``None`` leaves the images unchecked.
        part: which records ``evaluate`` reads.
        fold: the fold that validates.
        modality: ``CT`` takes the values as HU, ``brain MR`` expects 0 outside of the brain.
        label_values: the values labels may have, background included; ``train`` and ``evaluate`` need it.
        geometry: which NIfTI form counts where sform and qform disagree.
        patch_size: the network's window, for a note on smaller volumes.
        allow: fault codes whose allowable errors become warnings.
        strict: whether warnings refuse as well.
        skip_bad_cases: whether ``infer`` goes on with the good ones.
        image_target: whether labels are images to be synthesized, inside the records' masks.
        missing_contrasts: whether a case may lack channels, all but one of them.
        channel_aliases: what else the files of a channel may end in, for ``infer``.
        find_cases: finds and checks the cases of ``infer`` in the place of this package's rules for images; called with
            the folder and, by name, ``allow`` and ``skip_bad_cases``; returns the good cases and all findings.
    """

    kind: Kind
    dataset_dir: Path
    channels: tuple[str, ...] | None = None
    part: Part = "testing"
    fold: int = 0
    modality: str | None = None
    label_values: tuple[int, ...] | None = None
    geometry: Geometry | None = None
    patch_size: tuple[int, ...] | None = None
    allow: tuple[str, ...] = ()
    strict: bool = False
    skip_bad_cases: bool = False
    image_target: bool = False
    missing_contrasts: bool = False
    channel_aliases: Mapping[str, Sequence[str]] | None = None
    find_cases: CaseFinder | None = None

    def check(self) -> tuple[list[Record], list[Finding]]:
        """Find the cases and check them.

        Returns:
            The cases of an inference or an evaluation, and the findings that do not refuse.

        Raises:
            DataError: no data (TRN011), or a case that must not be used.
        """
        if not self.dataset_dir.exists():
            fix = "prepare it with `medbundles prepare`, or choose another --dataset_dir"
            raise DataError(findings=[Finding("TRN011", "error", f"no data folder {self.dataset_dir}", fix)])
        if self.kind == "infer" and self.find_cases is not None:
            good, findings = self.find_cases(self.dataset_dir, allow=self.allow, skip_bad_cases=self.skip_bad_cases)
            return self._judge_warnings(good, findings)
        labeled = self.image_target or self.label_values is not None
        if self.channels is None or (self.kind != "infer" and not labeled):
            return [], []
        return self._check_cases(self.channels) if self.kind == "infer" else self._check_records(self.channels)

    def fingerprint(self) -> dict[str, Any]:
        """Return what identifies the data: hashes of the data list and the fingerprint, else names and sizes."""
        folder = self.dataset_dir if self.dataset_dir.is_dir() else self.dataset_dir.parent
        named = [path for name in (DATALIST_NAME, "fingerprint.json") if (path := folder / name).is_file()]
        if named:
            return {
                "dataset_dir": str(self.dataset_dir),
                **{f"{path.stem}_sha256": sha256_file(path) for path in named},
            }
        files = sorted(path for path in folder.rglob("*") if path.is_file())
        content = sha256_data([(path.relative_to(folder).as_posix(), path.stat().st_size) for path in files])
        return {"dataset_dir": str(self.dataset_dir), "files": len(files), "names_and_sizes_sha256": content}

    def _check_cases(self, channels: Sequence[str]) -> tuple[list[Record], list[Finding]]:
        found, wrong = look_for_cases(self.dataset_dir, channels, self.missing_contrasts, self.channel_aliases)
        bad = {finding.case for finding in wrong}
        good = [case for case in found if case["case"] not in bad]
        if wrong and not (self.skip_bad_cases and good):
            raise DataError(findings=wrong)
        chosen, findings = check_cases(
            good,
            channels=channels,
            modality=self.modality,
            allow=self.allow,
            geometry=self.geometry,
            skip_bad_cases=self.skip_bad_cases,
            patch_size=self.patch_size,
            missing_contrasts=self.missing_contrasts,
        )
        return self._judge_warnings(chosen, [*wrong, *findings])

    def _judge_warnings(
        self, good: Sequence[Record], findings: Sequence[Finding]
    ) -> tuple[list[Record], list[Finding]]:
        """Under ``strict`` refuse cases with warnings, too, or leave them out like those with errors."""
        warned = {finding.case for finding in findings if self.strict and finding.level == "warning"}
        kept = [case for case in good if case["case"] not in warned]
        if warned and (None in warned or not kept or not self.skip_bad_cases):
            refuse(findings, strict=True)
        return kept, list(findings)

    def _check_records(self, channels: Sequence[str]) -> tuple[list[Record], list[Finding]]:
        labels = self.label_values
        if self.kind == "train":
            findings = check_dataset(
                self.dataset_dir,
                label_values=labels,
                channels=channels,
                modality=self.modality,
                fold=self.fold,
                allow=self.allow,
                geometry=self.geometry,
                patch_size=self.patch_size,
                image_target=self.image_target,
                missing_contrasts=self.missing_contrasts,
            )
            return [], refuse(findings, strict=self.strict)
        chosen = records(self.dataset_dir, self.part, self.fold, channels, self.missing_contrasts)
        findings = check_records(
            chosen,
            label_values=labels,
            channels=channels,
            modality=self.modality,
            allow=self.allow,
            geometry=self.geometry,
            patch_size=self.patch_size,
            image_target=self.image_target,
            missing_contrasts=self.missing_contrasts,
        )
        return chosen, refuse(findings, strict=self.strict)
