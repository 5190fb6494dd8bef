"""What an exported zip says of its weights: ``docs/weights.md``, made from ``model.json``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

NOTICE = (
    "Research software, not a medical device: not for diagnosis or treatment. Whoever trained these weights states"
    " under which terms they may be passed on."
)


def weights_page(model: Mapping[str, Any]) -> str:
    """Return the page as Markdown.

    Args:
        model: the content of ``model.json``; what it does not say is said to be unknown.
    """
    training = model.get("training") or {}
    versions = training.get("versions") or {}
    rows = {
        "network": f"{model['network'].get('name', 'unknown')}, `{model['network'].get('target', 'unknown')}`",
        "trained": f"{training.get('finished', 'unknown')}, epoch {training.get('epoch', 'unknown')}",
        "command": f"`{training.get('command', 'unknown')}`",
        "with": ", ".join(f"{name} {version}" for name, version in versions.items()) or "unknown",
        **{f"SHA-256 of {name}": f"`{value}`" for name, value in (training.get("data") or {}).items()},
        **{f"SHA-256 of {name}": f"`{value}`" for name, value in model["files"].items()},
    }
    lines = [f"| {name} | {value} |" for name, value in rows.items()]
    fixed = [f"| `{name}` | {_shown(value)} |" for name, value in (model.get("thresholds") or {}).items()]
    head = [f"# The weights of {model['bundle']}", "", NOTICE, "", "| | |", "|---|---|", *lines, ""]
    reached = "Fixed on the validation cases of that training, with what was reached there:"
    return "\n".join([*head, *([reached, "", "| | |", "|---|---|", *fixed, ""] if fixed else [])])


def _shown(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
