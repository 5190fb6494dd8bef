"""The memory-mapped preprocessing cache: same items, rebuilt when anything changed, never trusted when damaged."""

from __future__ import annotations

import json
import logging
import os
import re
import time
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from monai.data import DataLoader, MetaTensor
from monai.transforms import Compose, Transform

from medbundles.components.datasets import mapped_cache
from medbundles.components.datasets.mapped_cache import MappedCache, read_entry
from medbundles.components.datasets.mapped_dataset import MappedDataset
from medbundles.io.workers import start_worker


class Load(Transform):
    """Stands in for reading: voxels count up, the affine is anisotropic."""

    def __init__(self, scale: float = 1.0) -> None:
        self.scale = scale
        self.calls = 0

    def __call__(self, data: dict[str, Any]) -> dict[str, Any]:
        self.calls += 1
        array = np.arange(2 * 3 * 4, dtype=np.int16).reshape(1, 2, 3, 4) * int(self.scale)
        affine = torch.diag(torch.tensor([0.5, 0.6, 2.0, 1.0], dtype=torch.float64))
        return data | {"image": MetaTensor(torch.from_numpy(array), affine=affine)}


@pytest.fixture
def record(tmp_path: Path) -> dict[str, Any]:
    path = tmp_path / "scan.nii"
    path.write_bytes(b"1234")
    return {"image": str(path), "case": "scan"}


def test_an_item_comes_back_with_values_type_affine_and_other_fields(record: dict[str, Any], tmp_path: Path) -> None:
    (entry,) = MappedCache(tmp_path / "cache", Load()).build([record])
    item = read_entry(entry)
    expected = Load()(record)
    assert torch.equal(item["image"].as_tensor(), expected["image"].as_tensor())
    assert item["image"].dtype == torch.int16
    assert torch.equal(item["image"].affine, expected["image"].affine)
    assert item["case"] == "scan"


def test_what_another_training_has_prepared_meanwhile_is_not_prepared_again(tmp_path: Path) -> None:
    records = []
    for name in "abc":
        (tmp_path / name).write_bytes(b"1234")
        records.append({"image": str(tmp_path / name), "case": name})
    load = Load()
    cache = MappedCache(tmp_path / "cache", load)
    slow = MappedCache(tmp_path / "cache", load)

    class Other(Load):
        """Between two scans of this training another one prepares them all."""

        def __call__(self, data: dict[str, Any]) -> dict[str, Any]:
            if not self.calls:
                self.calls += 1
                for record in records:
                    cache.write(record)
            return load(data)

    slow.transform = Other()
    assert slow.build(records) == [cache.entry(record) for record in records]
    assert load.calls == len(records) + 1


def test_a_second_build_does_not_preprocess_again(record: dict[str, Any], tmp_path: Path) -> None:
    MappedCache(tmp_path / "cache", Load()).build([record])
    load = Load()
    MappedCache(tmp_path / "cache", Load()).build([record])
    assert load.calls == 0


def test_preprocessing_is_announced_in_two_lines_and_what_is_cached_is_not(
    record: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cache = MappedCache(tmp_path / "cache", Load())
    cache.build([record])
    begun, done = capsys.readouterr().err.splitlines()
    assert begun == f"preprocessing 1 of 1 scan(s) into {tmp_path / 'cache'} ..."
    assert re.fullmatch(r"\.\.\. done in \d+ s", done)
    cache.build([record])
    assert capsys.readouterr() == ("", "")


def test_only_the_first_process_of_a_group_announces(
    record: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RANK", "1")
    MappedCache(tmp_path / "cache", Load()).build([record])
    assert capsys.readouterr() == ("", "")


def test_changing_a_mapped_array_does_not_reach_the_file(record: dict[str, Any], tmp_path: Path) -> None:
    (entry,) = MappedCache(tmp_path / "cache", Load()).build([record])
    read_entry(entry)["image"][:] = -1
    assert read_entry(entry)["image"].min() == 0


def test_a_changed_argument_gives_another_entry(record: dict[str, Any], tmp_path: Path) -> None:
    caches = [MappedCache(tmp_path / "cache", Load(scale)) for scale in (1.0, 2.0)]
    assert caches[0].entry(record) != caches[1].entry(record)


def test_a_changed_file_gives_another_entry(record: dict[str, Any], tmp_path: Path) -> None:
    cache = MappedCache(tmp_path / "cache", Load())
    before = cache.entry(record)
    Path(record["image"]).write_bytes(b"12345")
    assert cache.entry(record) != before


def _truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-3])


def _flip_a_byte(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(bytes(content))


@pytest.mark.parametrize("damage", [_truncate, _flip_a_byte, Path.unlink], ids=["truncated", "one bit", "deleted"])
def test_a_damaged_array_is_rebuilt_with_a_warning(
    damage: Any, record: dict[str, Any], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    cache = MappedCache(tmp_path / "cache", Load())
    (entry,) = cache.build([record])
    damage(entry / "image.npy")
    with caplog.at_level(logging.WARNING):
        cache.build([record])
    assert "TRN006" in caplog.text
    assert read_entry(entry)["image"].max() == 23


def _change(**values: Any) -> Callable[[str], str]:
    return lambda text: json.dumps(json.loads(text) | values)


@pytest.mark.parametrize(
    "damage",
    [lambda text: "{", lambda text: "[]", _change(arrays=[]), _change(values={"case": "another"})],
    ids=["cut short", "no mapping", "of another type", "of another value"],
)
def test_a_damaged_description_is_rebuilt_with_a_warning(
    damage: Callable[[str], str], record: dict[str, Any], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    cache = MappedCache(tmp_path / "cache", Load())
    (entry,) = cache.build([record])
    (entry / "content.json").write_text(damage((entry / "content.json").read_text()))
    with caplog.at_level(logging.WARNING):
        cache.build([record])
    assert "TRN006" in caplog.text
    assert read_entry(entry)["case"] == "scan"


def test_a_failing_transform_leaves_nothing_behind(record: dict[str, Any], tmp_path: Path) -> None:
    class Break(Transform):
        def __call__(self, data: dict[str, Any]) -> dict[str, Any]:
            return data | {"image": torch.zeros(1), "bad": float("nan")}

    with pytest.raises(ValueError, match="not JSON compliant"):
        MappedCache(tmp_path / "cache", Break()).build([record])
    assert list((tmp_path / "cache").iterdir()) == []


@pytest.mark.parametrize(("hours", "kept"), [(1, True), (25, False)])
def test_what_a_killed_process_left_unfinished_is_removed_after_a_day(
    record: dict[str, Any], tmp_path: Path, hours: int, kept: bool
) -> None:
    unfinished = tmp_path / "cache" / f".{'0a' * 16}"
    unfinished.mkdir(parents=True)
    (unfinished / "image.npy").write_bytes(b"half")
    os.utime(unfinished, (time.time() - hours * 3600,) * 2)
    MappedCache(tmp_path / "cache", Load()).build([record])
    assert unfinished.exists() is kept


def test_who_stops_the_filling_waits_for_no_scan_that_has_not_begun(
    record: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Processes that Ctrl-C and the end of their parent reach in order are started by one function."""
    said: dict[str, Any] = {}

    class Pool:
        def __init__(self, count: int, mp_context: Any, initializer: Callable[[], None]) -> None:
            said.update(initializer=initializer)

        def __enter__(self) -> Pool:
            return self

        def __exit__(self, *error: object) -> None: ...

        def submit(self, *call: Any) -> Future[Path]:
            return Future()

        def shutdown(self, **options: bool) -> None:
            said.update(options)

    def stop(futures: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(mapped_cache, "ProcessPoolExecutor", Pool)
    monkeypatch.setattr(mapped_cache, "as_completed", stop)
    with pytest.raises(KeyboardInterrupt):
        MappedCache(tmp_path / "cache", Load()).build([record, record], workers=2)
    assert said == {"initializer": start_worker, "cancel_futures": True}


def test_a_dataset_returns_what_its_transforms_return(record: dict[str, Any], tmp_path: Path) -> None:
    dataset = MappedDataset([record], Compose([Load()]), tmp_path / "cache")
    assert torch.equal(dataset[0]["image"].as_tensor(), Load()(record)["image"].as_tensor())


def test_a_renamed_case_has_its_new_name_though_its_arrays_were_cached(record: dict[str, Any], tmp_path: Path) -> None:
    first = MappedDataset([record | {"case": "before"}], Compose([Load()]), cache_dir=tmp_path / "cache")
    assert first[0]["case"] == "before"
    again = MappedDataset([record | {"case": "after"}], Compose([Load()]), cache_dir=tmp_path / "cache")
    assert again[0]["case"] == again[0]["image"].meta["case"] == "after"
    assert again.entries == first.entries


def test_a_field_that_a_transform_reads_is_part_of_the_key(record: dict[str, Any], tmp_path: Path) -> None:
    class Reads(Load):
        record_keys = ("nodules",)

    cache = MappedCache(tmp_path / "cache", Compose([Reads()]))
    assert cache.entry(record | {"nodules": [1]}) != cache.entry(record | {"nodules": [2]})
    assert cache.entry(record | {"subject": "a"}) == cache.entry(record)


def test_annotations_that_hold_null_do_not_keep_a_record_from_a_batch(record: dict[str, Any], tmp_path: Path) -> None:
    annotated = record | {"nodules": [{"malignant": None}, {"malignant": True, "type": "solid"}]}
    (batch,) = DataLoader(MappedDataset([annotated], Compose([Load()]), tmp_path / "cache"), batch_size=1)
    assert batch["case"] == ["scan"]
