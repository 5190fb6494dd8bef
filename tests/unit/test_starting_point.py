"""What training starts from: weights of other images and a cache that cannot be written are told before the start."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from medbundles.components.workflows import RunSession
from medbundles.components.workflows.starting_point import check_cache, check_pretrained
from medbundles.errors import ConfigurationError, DataError, EnvironmentFailure

CHANNELS = ["mean_b0", "l1"]


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    model = {"image_channels": CHANNELS, "preprocessing": {"grid_mm": 1.5}}
    (tmp_path / "model.json").write_text(json.dumps(model))
    torch.save({"w": torch.zeros(1)}, tmp_path / "model.pt")
    return tmp_path / "model.pt"


@pytest.fixture
def data(tmp_path: Path) -> Path:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "fingerprint.json").write_text('{"grid": 1.5}')
    return tmp_path / "data"


def test_weights_of_the_same_images_are_taken(weights: Path, data: Path) -> None:
    assert check_pretrained([weights, weights.with_name("discriminator.pt")], CHANNELS, data) == []


def test_weights_of_channels_in_another_order_are_refused(weights: Path, data: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"CFG004.*the channels \['mean_b0', 'l1'\], this run has \['l1'"):
        check_pretrained([weights], CHANNELS[::-1], data)


def test_weights_of_another_grid_are_pointed_out(weights: Path, data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (data / "fingerprint.json").write_text('{"grid": 3}')
    (finding,) = check_pretrained([weights], CHANNELS, data)
    assert (finding.code, finding.level) == ("CFG004", "warning")
    assert "trained on a grid of 1.5, the data are on 3.0 (mm)" in capsys.readouterr().err


def test_strictly_weights_of_another_grid_are_refused(weights: Path, data: Path) -> None:
    (data / "fingerprint.json").write_text('{"grid": "dwi"}')
    with pytest.raises(DataError, match="CFG004"):
        check_pretrained([weights], CHANNELS, data, strict=True)


@pytest.mark.parametrize("said", [None, "{", "[]", '{"image_channels": ["ct"], "preprocessing": 1}'])
def test_weights_that_nothing_describes_are_taken(weights: Path, data: Path, said: str | None) -> None:
    model = weights.with_name("model.json")
    model.unlink() if said is None else model.write_text(said)
    assert check_pretrained([weights], ["ct"], data) == []


def test_a_training_compares_what_it_starts_from(weights: Path, tmp_path: Path) -> None:
    options: dict[str, Any] = {"dataset_dir": tmp_path / "data", "channels": CHANNELS[::-1], "weights": weights}
    (tmp_path / "data").mkdir()
    with pytest.raises(ConfigurationError, match="CFG004"):
        RunSession(kind="train", bundle="tiny", output_dir=tmp_path / "run", **options).begin()


def test_a_cache_that_cannot_be_written_is_refused_with_both_ways_out(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(EnvironmentFailure, match=r"cannot be written: .*--cache or .*MEDBUNDLES_CACHE"):
        check_cache(tmp_path / "file" / "cache")
