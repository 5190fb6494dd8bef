"""Failures while a case is read name the case."""

from __future__ import annotations

import multiprocessing
import os
import time
from pathlib import Path
from typing import Any

import pytest
import torch

from medbundles.components.datasets import CaseDataset, MappedCache
from medbundles.components.datasets.reading_journal import ReadingJournal, last_read_by_the_dead, naming
from medbundles.errors import DataError, EnvironmentFailure, Finding


class Die:
    def __call__(self, record: dict[str, Any]) -> dict[str, Any]:
        if record["case"] == "two":
            os._exit(1)
        return record


def test_a_refusal_without_a_case_gets_its_name_and_keeps_its_code() -> None:
    refusal = DataError(findings=[Finding("NII001", "error", "cut short"), Finding("NII003", "error", "0", case="B")])
    with pytest.raises(DataError) as refused, naming("A"):
        raise refusal
    assert [(found.code, found.case) for found in refused.value.findings] == [("NII001", "A"), ("NII003", "B")]


def test_a_record_without_a_name_is_read_all_the_same() -> None:
    assert CaseDataset([{"image": 1}])[0] == {"image": 1}


def test_a_worker_that_is_about_to_end_is_waited_for() -> None:
    journal = ReadingJournal([{"case": "A"}])
    worker = multiprocessing.get_context("spawn").Process(target=time.sleep, args=(0.1,))
    worker.start()
    journal._rows[0] = torch.tensor([worker.pid, 0])
    assert last_read_by_the_dead(patience=0.0) == []
    assert last_read_by_the_dead(patience=30.0) == ["A"]


@pytest.mark.slow
def test_a_process_that_dies_while_scans_are_prepared_is_told_of_its_case(tmp_path: Path) -> None:
    records = [{"case": name} for name in ("one", "two")]
    with pytest.raises(EnvironmentFailure, match=r"TRN008.*it had one of the cases (one, )?two; memory"):
        MappedCache(tmp_path, Die()).build([{**record, "image": []} for record in records], workers=2)
