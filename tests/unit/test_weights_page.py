"""The page that an exported zip has on its weights, and what `info` prints of their results."""

from __future__ import annotations

from medbundles.weights_page import evaluation_table, weights_page

MODEL = {"bundle": "spleen", "network": {"name": "UNet"}, "files": {"model.pt": "12ab"}}


def test_weights_of_ones_own_have_no_licence_but_that_of_who_trained_them() -> None:
    assert "Whoever trained these weights" in weights_page(MODEL)


def test_released_weights_state_their_licence_and_data() -> None:
    page = weights_page(MODEL, {"license": "Apache-2.0", "trained_on": "41 CTs of the Decathlon"})
    assert "Licence of the weights: Apache-2.0." in page
    assert "| trained on | 41 CTs of the Decathlon |" in page


def test_a_result_stands_with_its_interval_and_command() -> None:
    figures = {"Dice": {"value": 0.9, "interval": [0.85, 0.925]}, "scans": {"value": 4, "interval": None}}
    evaluation = {"data": "4 other scans", "command": "medbundles evaluate spleen", "figures": figures}
    page = weights_page(MODEL, {"evaluations": [evaluation]})
    assert "## 4 other scans\n\n`medbundles evaluate spleen`" in page
    assert "| Dice | 0.90 (95 % interval 0.85 to 0.93) |" in page
    assert "| scans | 4 |" in page


def test_single_cases_make_a_table_of_their_own() -> None:
    rows = [{"case": "anna", "found": "yes", "Dice": 0.87654}, {"case": "bert", "found": "no", "Dice": None}]
    assert evaluation_table({"rows": rows}) == [
        "| case | found | Dice |",
        "|---|---|---|",
        "| anna | yes | 0.8765 |",
        "| bert | no | - |",
        "",
    ]
