"""An output folder of samples: claimed once, continued after an interruption, never mixed with foreign files."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from medbundles.errors import OutputConflict
from medbundles.io.atomic import write_json

INDEX_NAME = "samples.json"


class SampleFolder:
    """The folder and its index ``samples.json``: the parameters and one record for every finished sample.

    Args:
        path: the folder; made if absent.
        parameters: plain data that, with a sample's number, determines the sample.
        overwrite: replace samples made with other parameters, and write beside foreign files.

    Raises:
        OutputConflict: the folder holds foreign files, or samples made with other parameters.
    """

    def __init__(self, path: Path, parameters: Mapping[str, Any], overwrite: bool = False) -> None:
        self.path = path
        # Through JSON and back, so that what is compared looks like what was read.
        self.parameters: dict[str, Any] = json.loads(json.dumps(parameters))
        self.records: dict[int, dict[str, Any]] = {}
        if path.exists() and not path.is_dir():
            raise OutputConflict(f"{path} is a file; choose a folder")
        found = [item for item in path.iterdir() if not item.name.startswith(".")] if path.exists() else []
        if found:
            self._claim(overwrite)

    def _claim(self, overwrite: bool) -> None:
        index = self._read_index()
        if index is None:
            if overwrite and not any(self.path.glob("*.csv")):
                return
            raise OutputConflict(f"{self.path} holds files that are no samples of this program; choose another folder")
        if index["parameters"] == self.parameters:
            self.records = {int(record["case"]): record for record in index["samples"]}
        elif not overwrite:
            changed = [key for key, value in index["parameters"].items() if self.parameters.get(key) != value]
            raise OutputConflict(
                f"{self.path} holds samples made with other settings ({', '.join(sorted(changed)) or 'new ones'}); "
                "choose another folder or overwrite"
            )
        else:
            self._remove(index["samples"])

    def _read_index(self) -> dict[str, Any] | None:
        file = self.path / INDEX_NAME
        try:
            index = json.loads(file.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError, json.JSONDecodeError):
            return None
        known = isinstance(index, dict) and isinstance(index.get("parameters"), dict) and "samples" in index
        return index if known else None

    def _remove(self, records: list[dict[str, Any]]) -> None:
        """Remove the files that the index names, and nothing else."""
        root = self.path.resolve()
        for record in records:
            for name in record.get("files", {}):
                file = (self.path / name).resolve()
                if file.is_relative_to(root):
                    file.unlink(missing_ok=True)

    def refuse_more_than(self, cases: int, kind: str = "cases") -> None:
        """Refuse to be asked for fewer samples than there are.

        Args:
            cases: how many are asked for.
            kind: what they are called.

        Raises:
            OutputConflict: there are more.
        """
        if len(self.records) > cases:
            message = f"{self.path} holds {len(self.records)} {kind} of this seed already"
            raise OutputConflict(f"{message}; ask for at least as many or choose another folder")

    def is_complete(self, number: int) -> bool:
        """Tell whether a sample is recorded and its files are there in full."""
        record = self.records.get(number)
        if record is None:
            return False
        sizes = [(self.path / name, size) for name, size in record["files"].items()]
        return all(file.is_file() and file.stat().st_size == size for file, size in sizes)

    def add(self, record: dict[str, Any], files: list[Path]) -> None:
        """Record a finished sample and the sizes of its files; ``record["case"]`` is its number."""
        sizes = {file.relative_to(self.path).as_posix(): file.stat().st_size for file in files}
        self.records[int(record["case"])] = record | {"files": sizes}
        self.save()

    def save(self) -> None:
        """Write the index."""
        samples = [self.records[number] for number in sorted(self.records)]
        write_json(self.path / INDEX_NAME, {"parameters": self.parameters, "samples": samples})
