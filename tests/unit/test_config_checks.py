"""What is said of a configuration before anything in it is evaluated."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from medbundles.checks.config import check_config, check_file, check_model, check_overrides, differences

NET = {"_target_": "BasicUNet", "spatial_dims": 2, "in_channels": 1, "out_channels": 2}


def messages(config: dict[str, Any]) -> list[str]:
    return [str(finding) for finding in check_config(config)]


def only(config: dict[str, Any]) -> str:
    (message,) = messages(config)
    return message


@pytest.mark.parametrize(
    "component",
    [
        NET,
        NET | {"_disabled_": True, "nonsense": 1},
        NET | {"_mode_": "callable", "features": [8] * 6},
        NET | {"in_channels": "$1 + 1", "out_channels": "@channels"},
        {"_target_": "torch.optim.Adam", "params": "$[]", "lr": 1},
        {"_target_": "DataLoader", "dataset": [], "multiprocessing_context": "spawn", "shuffle": False},
        {"_target_": "$@channels", "anything": 1},
        {"_target_": "builtins.dict", "anything": 1},
    ],
)
def test_a_component_that_can_be_built_is_not_mentioned(component: dict[str, Any]) -> None:
    assert messages({"channels": 2, "used": "@channels", "part": component, "run": ["$@part", "$@used"]}) == []


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"in_chanels": 1}, "no argument in_chanels; did you mean in_channels?"),
        ({"spatial_dims": "three"}, "net::spatial_dims is 'three', expected a whole number"),
        ({"spatial_dims": 2.5}, "net::spatial_dims is 2.5, expected a whole number"),
        ({"bias": "yes"}, "net::bias is 'yes', expected true or false"),
        ({"upsample": 3}, "net::upsample is 3, expected text"),
        ({"out_channels": [2]}, "net::out_channels is [2], expected a whole number"),
        ({"_target_": "monai.networks.nets.BasicUNett"}, "did you mean BasicUNet?"),
        ({"_target_": "BasicUnett"}, "did you mean BasicUnet?"),
        ({"_target_": "not_a_package.Net"}, "there is no component not_a_package.Net"),
    ],
)
def test_a_wrong_component_is_refused_with_what_was_meant(change: dict[str, Any], said: str) -> None:
    message = only({"net": NET | change, "run": "$@net"})
    assert message.startswith("error[CFG002] net")
    assert said in message


def test_a_missing_argument_is_named_but_not_for_a_callable() -> None:
    loader = {"_target_": "DataLoader"}
    assert "needs the argument dataset" in only({"loader": loader, "run": "$@loader"})
    assert messages({"loader": loader | {"_mode_": "callable"}, "run": "$@loader"}) == []


def test_an_argument_misspelt_behind_forwarded_keywords_is_found() -> None:
    loader = {"_target_": "DataLoader", "dataset": [], "multiprocesing_context": "spawn"}
    assert "did you mean multiprocessing_context?" in only({"loader": loader, "run": "$@loader"})


def test_a_reference_is_followed_to_the_value_that_has_the_wrong_type() -> None:
    config = {"width": "four", "alias": "@width", "net": NET | {"in_channels": "@alias"}, "run": "$@net"}
    assert "net::in_channels (@alias) is 'four', expected a whole number" in only(config)


def test_every_mistake_is_said_at_once() -> None:
    config = {
        "max_epochs": 2,
        "max_epoch": 3,
        "net": NET | {"in_chanels": 1, "out_channels": "two"},
        "loader": {"_target_": "DataLoader"},
        "rate": "1e-3",
        "run": "$@net, @loader, @rate, @missing, @max_epochs",
    }
    assert sorted(finding.code for finding in check_config(config)) == ["CFG001"] * 2 + ["CFG002"] * 3 + ["CFG003"]


def test_a_value_nothing_refers_to_is_a_misspelt_key() -> None:
    config = {"max_epochs": 1, "max_epoch": 7, "run": "$@max_epochs"}
    assert only(config) == (
        "error[CFG001] unknown key max_epoch: nothing in the configuration uses it; did you mean --max_epochs?"
    )


def test_a_value_in_a_section_is_unused_unless_the_section_is_referred_to() -> None:
    assert "unknown key train::rate" in only({"train": {"rate": 1}})
    assert messages({"train": {"rate": 1}, "run": "$@train"}) == []


def test_keys_that_every_bundle_has_may_be_unused() -> None:
    assert messages({"patience": 3, "learning_rate": 0.1, "_note": "text"}) == []


def test_a_reference_to_nothing_is_refused_with_the_closest_id() -> None:
    config = {"train": {"trainer": NET}, "run": ["$@train::trainr.run()"]}
    assert "run::0: @train::trainr is not in the configuration; did you mean @train::trainer?" in only(config)


def test_metadata_may_be_referred_to() -> None:
    assert messages({"run": "$@_meta_::version"}) == []


@pytest.mark.parametrize(("text", "remedy"), [("1e-3", "1.0e-3"), ("5E4", "5.0e+4"), ("-.5e-1", "-0.5e-1")])
def test_a_number_that_yaml_takes_for_text_is_refused_with_its_spelling(text: str, remedy: str) -> None:
    message = only({"rate": text, "run": "$@rate"})
    assert "CFG003" in message
    assert message.endswith(f"write {remedy}")
    assert isinstance(yaml.safe_load(remedy), float)


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("a.yaml", "rate: 1\nother:\n  x: 1\n  y: 2\n  x: 3\n", "line 5: the key 'x' stands twice"),
        ("a.json", '{"a": 1, "a": 2}', "the key 'a' stands twice"),
        ("a.yaml", "a: [1, 2", "cannot be read"),
        ("a.json", "{", "cannot be read"),
    ],
)
def test_a_file_that_says_a_key_twice_or_cannot_be_read_is_refused(
    tmp_path: Path, name: str, text: str, said: str
) -> None:
    (tmp_path / name).write_text(text)
    (finding,) = check_file(tmp_path / name)
    assert finding.code == "CFG003"
    assert said in finding.message
    assert finding.file == name


CONFIG = {
    "max_epochs": 1,
    "weights": None,
    "train": {"trainer": NET, "sizes": [8, 8], "same": "@net"},
    "open": {"_target_": "builtins.dict"},
    "run": "$@max_epochs, @train, @open",
}


@pytest.mark.parametrize(
    "override",
    ["max_epochs", "train::trainer::in_channels", "train::trainer::features", "train#trainer#bias", "train::sizes::1",
     "train::trainer::_disabled_", "open::anything", "run"],
)  # fmt: skip
def test_an_override_with_a_target_passes(override: str) -> None:
    assert check_overrides(CONFIG, {override: 1}) == {}


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("max_epoch", "did you mean --max_epochs?"),
        ("train::trainer::in_chanels", "did you mean --train::trainer::in_channels?"),
        ("trian::trainer::in_channels", "there is no trian::trainer; did you mean train::trainer?"),
        ("train::sizes::2", "train::sizes has 2 items"),
        ("train::same::x", "it has nothing below it"),
        ("completely_else", "this configuration has no completely_else"),
    ],
)
def test_an_override_without_a_target_is_refused(override: str, said: str) -> None:
    (finding,) = check_overrides(CONFIG, {override: 1}).values()
    assert finding.code == "CFG001"
    assert finding.level == "error"
    assert said in str(finding)


def test_an_override_of_what_the_configuration_does_not_use_is_warned_about() -> None:
    (finding,) = check_overrides(CONFIG, {"weights": "model.pt"}).values()
    assert finding.level == "warning"
    assert "no effect" in finding.message


def test_a_model_that_differs_from_the_configuration_is_refused_with_each_difference() -> None:
    model = {"window_hu": [-1000, 400], "labels": {"1": "nodule"}, "seed": 1}
    expected = {"window_hu": [-1000, 1000], "labels": {"1": "nodule"}, "not_in_model": 1}
    codes = [(finding.code, finding.message) for finding in check_model(model, expected)]
    assert ("CFG004", "window_hu::1 is 400 in model.json and 1000 in the configuration") in codes
    assert not any("labels" in message or "seed" in message for _, message in codes)


def test_differences_tell_an_absent_value_from_none() -> None:
    assert differences({"a": None, "b": []}, {"b": []}) == [("a", "None", "absent")]


def test_an_interrupt_while_a_component_is_imported_is_an_interrupt(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "slow_to_import.py").write_text("raise KeyboardInterrupt\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(KeyboardInterrupt):
        check_config({"part": {"_target_": "slow_to_import.Part"}})


@pytest.mark.parametrize("content", [b"", b"- 1\n", b"seed: \xff\n", b"seed: [1\n"])
def test_a_file_without_keys_and_values_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "mine.yaml").write_bytes(content)
    (finding,) = check_file(tmp_path / "mine.yaml")
    assert (finding.code, finding.file) == ("CFG003", "mine.yaml")
    assert finding.message.startswith("cannot be read")


@pytest.mark.parametrize(("name", "meant"), [("dataset", "--dataset_dir"), ("model", "--weights")])
def test_a_value_for_what_the_configuration_makes_is_refused_with_the_key_that_is_meant(name: str, meant: str) -> None:
    config = {"dataset": {"_target_": "dict"}, "model": "$dict()", "dataset_dir": "data", "weights": None}
    (finding,) = check_overrides(config, {name: "SCANS"}, components={"dataset", "model"}).values()
    assert (finding.code, finding.level) == ("CFG001", "error")
    assert f"did you mean {meant}?" in str(finding)


@pytest.mark.parametrize("value", [None, {"_target_": "list"}, "@other", "$len('a')"])
def test_a_component_may_be_switched_off_or_replaced_by_another(value: object) -> None:
    config = {"dataset": {"_target_": "dict"}, "other": {"_target_": "list"}}
    assert check_overrides(config, {"dataset": value}, components={"dataset"}) == {}


def test_a_misspelling_near_an_internal_name_is_told_the_setting() -> None:
    config = {"dataset": {"_target_": "dict"}, "dataset_dir": "data"}
    (finding,) = check_overrides(config, {"data": "SCANS"}, components={"dataset"}).values()
    assert "did you mean --dataset_dir?" in str(finding)
