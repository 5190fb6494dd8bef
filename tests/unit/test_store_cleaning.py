"""Cleaning chosen after training is stored with the model, and never chosen on test cases."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from ignite.engine import Engine, Events
from monai.data.meta_tensor import MetaTensor

from medbundles.components.handlers import StoreCleaning
from medbundles.components.metrics import CleaningSearch
from medbundles.errors import ConfigurationError
from medbundles.io.model_json import write_model

DESCRIPTION = {"bundle": "b", "network": {}, "labels": {"1": "lesion"}, "preprocessing": {}, "thresholds": {}}


def model(folder: Path) -> Path:
    (folder / "model.pt").write_bytes(b"weights")
    write_model(folder, {**DESCRIPTION, "postprocessing": {"thresholds": {"lesion": 0.5}}}, ["model.pt"])
    return folder / "model.pt"


def evaluate(search: CleaningSearch, handler: StoreCleaning) -> None:
    truth = torch.zeros(1, 20, 20, 20)
    truth[0, 5:15, 5:15, 5:15] = 1

    def step(_: Engine, __: int) -> None:
        search.update(([MetaTensor(0.45 * truth)], [MetaTensor(truth, meta={"case": "a"})]))

    engine = Engine(step)
    engine.add_event_handler(Events.STARTED, search.reset)
    handler.attach(engine)
    engine.run([0])


def test_what_is_found_best_replaces_what_the_model_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    search, weights = CleaningSearch({"lesion": [1]}), model(tmp_path)
    before = json.loads((tmp_path / "model.json").read_text())
    evaluate(search, StoreCleaning(search, weights, "validation"))
    after = json.loads((tmp_path / "model.json").read_text())
    assert after["postprocessing"]["thresholds"] == {"lesion": 0.4}
    assert {**after, "postprocessing": {}} == {**before, "postprocessing": {}}
    assert "chosen on 1 cases, stored in model.json: lesion above 0.4" in capsys.readouterr().err


def test_test_cases_choose_nothing(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="test cases") as caught:
        StoreCleaning(CleaningSearch({"lesion": [1]}), model(tmp_path), "testing")
    (finding,) = caught.value.findings
    assert (finding.code, finding.fix) == ("CFG002", "add --part validation")
