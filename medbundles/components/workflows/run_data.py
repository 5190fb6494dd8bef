"""The data a run reads: what it is called, what is checked of it, what identifies it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from medbundles.checks.cases import check_cases
from medbundles.checks.dataset import check_dataset, check_records
from medbundles.checks.verdict import refuse
from medbundles.errors import DataError, Finding
from medbundles.io.cases import find_cases
from medbundles.io.datalist import DATALIST_NAME, Part, Record, records
from medbundles.io.hashing import sha256_data, sha256_file
from medbundles.io.headers import Geometry

Kind = Literal["train", "evaluate", "infer"]


@dataclass(frozen=True)
class RunData:
    """What a run reads and what it must look like.

    Attributes:
        kind: ``train`` reads the training and validation records, ``evaluate`` one part, ``infer`` any cases.
        dataset_dir: a prepared folder, or for ``infer`` raw cases.
        channels: channel names in the network's order; ``None`` leaves the images unchecked.
        part: which records ``evaluate`` reads.
        fold: the fold that validates.
        modality: ``CT`` takes the values as HU.
        label_values: the values labels may have, background included; ``train`` and ``evaluate`` need it.
        geometry: which NIfTI form counts where sform and qform disagree.
        patch_size: the network's window, for a note on smaller volumes.
        allow: fault codes whose allowable errors become warnings.
        strict: whether warnings refuse as well.
        skip_bad_cases: whether ``infer`` goes on with the good ones.
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
        if self.channels is None or (self.kind != "infer" and self.label_values is None):
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
        return check_cases(
            find_cases(self.dataset_dir, channels),
            channels=channels,
            modality=self.modality,
            allow=self.allow,
            geometry=self.geometry,
            skip_bad_cases=self.skip_bad_cases,
            patch_size=self.patch_size,
        )

    def _check_records(self, channels: Sequence[str]) -> tuple[list[Record], list[Finding]]:
        labels = self.label_values or ()
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
            )
            return [], refuse(findings, strict=self.strict)
        chosen = records(self.dataset_dir, self.part, self.fold)
        findings = check_records(
            chosen,
            label_values=labels,
            channels=channels,
            modality=self.modality,
            allow=self.allow,
            geometry=self.geometry,
            patch_size=self.patch_size,
        )
        return chosen, refuse(findings, strict=self.strict)
