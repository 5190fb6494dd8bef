"""Choosing anew how a model's regions are cleaned, after its training."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from ignite.engine import Engine, Events

from medbundles.components.distributed import is_writer
from medbundles.components.metrics import CleaningSearch, choose_cleaning
from medbundles.errors import ConfigurationError, Finding
from medbundles.io.datalist import Part
from medbundles.io.model_json import store_postprocessing


class StoreCleaning:
    """Write what a search has found best into ``model.json`` when the evaluation of validation cases ends.

    Training does this by itself; this is for weights that were joined, or another criterion.

    Args:
        search: the metric that tries thresholds and cleaning; attached to the same evaluator.
        weights: the weights file whose ``model.json`` is rewritten.
        part: the part of the data set that is evaluated.

    Raises:
        ConfigurationError: ``part`` is the test part: what is chosen on it cannot be judged on it (CFG002).
    """

    def __init__(self, search: CleaningSearch, weights: str | os.PathLike[str], part: Part) -> None:
        if part == "testing":
            message = "cleaning would be chosen on test cases, which then judge nothing any more"
            finding = Finding("CFG002", "error", message, "add --part validation")
            raise ConfigurationError(findings=[finding])
        self.search, self.weights = search, Path(weights)

    def attach(self, engine: Engine) -> None:
        """Write when ``engine`` has completed its run."""
        engine.add_event_handler(Events.COMPLETED, self)

    def __call__(self, engine: Engine) -> None:
        """Choose and write; every process takes part, as what is chosen is gathered from all of them."""
        chosen = choose_cleaning(self.search)
        if not is_writer():
            return
        store_postprocessing(self.weights, chosen)
        words = ", ".join(
            f"{region} above {threshold:g}, {chosen['smallest_ml'][region]:g} ml or more"
            for region, threshold in chosen["thresholds"].items()
        )
        print(f"chosen on {chosen['chosen_by']['cases']} cases, stored in model.json: {words}", file=sys.stderr)
