"""What an exported zip says of its weights: ``docs/weights.md``, made from ``model.json`` and ``results.json``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

RESEARCH = "Research software, not a medical device: not for diagnosis or treatment."
UNKNOWN_TERMS = "Whoever trained these weights states under which terms they may be passed on."


def weights_page(model: Mapping[str, Any], results: Mapping[str, Any] | None = None) -> str:
    """Return the page as Markdown.

    Args:
        model: the content of ``model.json``; what it does not say is said to be unknown.
        results: the content of ``results.json``, if there is one: ``license``, ``trained_on`` and ``evaluations``, each
            with ``data``, ``command`` and either ``figures`` (name to ``value`` and ``interval``) or ``rows`` (tables
            of the same columns).
    """
    results = results or {}
    training = model.get("training") or {}
    versions = training.get("versions") or {}
    rows = {
        "network": f"{model['network'].get('name', 'unknown')}, `{model['network'].get('target', 'unknown')}`",
        "trained": f"{training.get('finished', 'unknown')}, epoch {training.get('epoch', 'unknown')}",
        **({"trained on": results["trained_on"]} if "trained_on" in results else {}),
        "command": f"`{training.get('command', 'unknown')}`",
        "with": ", ".join(f"{name} {version}" for name, version in versions.items()) or "unknown",
        **{f"SHA-256 of {name}": f"`{value}`" for name, value in (training.get("data") or {}).items()},
        **{f"SHA-256 of {name}": f"`{value}`" for name, value in model["files"].items()},
    }
    terms = f"Licence of the weights: {results['license']}." if "license" in results else UNKNOWN_TERMS
    fixed = {f"`{name}`": _shown(value) for name, value in (model.get("thresholds") or {}).items()}
    reached = ["Fixed on the validation cases of that training, with what was reached there:", "", *_pairs(fixed)]
    parts = [f"# The weights of {model['bundle']}", "", f"{RESEARCH} {terms}", "", *_pairs(rows)]
    parts += reached if fixed else []
    for evaluation in results.get("evaluations", []):
        parts += [f"## {evaluation['data']}", "", f"`{evaluation['command']}`", "", *evaluation_table(evaluation)]
    return "\n".join(parts)


def evaluation_table(evaluation: Mapping[str, Any]) -> list[str]:
    """Return the lines of a Markdown table of what one evaluation of ``results.json`` measured."""
    if "figures" in evaluation:
        return _pairs({name: _with_interval(figure) for name, figure in evaluation["figures"].items()})
    columns = list(evaluation["rows"][0])
    lines = [" | ".join(_shown(row[column]) for column in columns) for row in evaluation["rows"]]
    return [f"| {' | '.join(columns)} |", "|---" * len(columns) + "|", *(f"| {line} |" for line in lines), ""]


def _pairs(rows: Mapping[str, str]) -> list[str]:
    return ["| | |", "|---|---|", *(f"| {name} | {value} |" for name, value in rows.items()), ""]


def _with_interval(figure: Mapping[str, Any]) -> str:
    if not figure.get("interval"):
        return _shown(figure["value"])
    low, high = figure["interval"]
    return f"{figure['value']:.2f} (95 % interval {low:.2f} to {high:.2f})"


def _shown(value: Any) -> str:
    if value is None:
        return "-"
    return f"{value:.4g}" if isinstance(value, float) else str(value)
