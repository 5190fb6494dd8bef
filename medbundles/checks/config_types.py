"""Whether a literal of a configuration can be what an annotation says; only plain annotations are judged."""

from __future__ import annotations

import inspect
import re
import types
from typing import Any, Union, get_args, get_origin

SIMPLE: dict[str, type] = {"int": int, "float": float, "bool": bool, "str": str, "None": type(None)}
OPTIONAL = re.compile(r"(?:typing\.)?Optional\[(.*)\]")
UNION = re.compile(r"(?:typing\.)?Union\[(.*)\]")
NUMBER_TEXT = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)[eE][-+]?\d+")


def simple_types(annotation: Any) -> frozenset[type] | None:
    """Return the plain types an annotation allows, or ``None`` when it allows anything else (or says nothing).

    Args:
        annotation: as ``inspect.signature`` gives it: a type, or text where annotations are postponed.
    """
    if annotation is inspect.Parameter.empty:
        return None
    if isinstance(annotation, str):
        names = _names_in(annotation.strip().strip("'\""))
        found = [SIMPLE.get(name) for name in names]
    elif get_origin(annotation) in (Union, types.UnionType):
        found = [item if item in SIMPLE.values() else None for item in get_args(annotation)]
    else:
        found = [annotation if annotation in SIMPLE.values() else None]
    known = [item for item in found if item is not None]
    return frozenset(known) if len(known) == len(found) else None


def literal_fits(value: Any, allowed: frozenset[type]) -> bool:
    """Return whether a literal can be meant as one of these types; whole numbers are floats, too."""
    if looks_like_number(value):
        return True  # said once, as CFG003
    kind = type(value)
    if kind in allowed or (kind is int and float in allowed):
        return True
    if kind is float and int in allowed:
        return bool(value == int(value)) if value == value and abs(value) != float("inf") else False
    return kind is int and bool in allowed and value in (0, 1)


def looks_like_number(value: Any) -> bool:
    """Return whether a text is a number to people but not to YAML 1.1, such as ``1e-3``."""
    return isinstance(value, str) and NUMBER_TEXT.fullmatch(value) is not None


def describe_type(allowed: frozenset[type]) -> str:
    """Return the allowed types in words."""
    words = {int: "a whole number", float: "a number", bool: "true or false", str: "text", type(None): "null"}
    return " or ".join(words[kind] for kind in words if kind in allowed)


def _names_in(annotation: str) -> list[str]:
    if match := OPTIONAL.fullmatch(annotation):
        return [*_names_in(match[1]), "None"]
    if match := UNION.fullmatch(annotation):
        return [name.strip() for name in match[1].split(",")]
    return [name.strip() for name in annotation.split("|")]
