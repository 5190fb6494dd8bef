"""Walking a bundle's configuration: ids, references and plain values, without evaluating anything."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

SEPARATOR = "::"
TARGET = "_target_"
# What MONAI itself reads of a component besides its arguments.
COMPONENT_KEYS = frozenset({"_target_", "_mode_", "_disabled_", "_requires_", "_desc_"})
WHOLE_REFERENCE = re.compile(r"[@%](\w+(?:::\w+)*)")
INNER_REFERENCE = re.compile(r"@(\w+(?:::\w+)*)")
MAXIMUM_HOPS = 20


def iterate_ids(value: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield ``(id, value)`` for everything below ``value``, parents before children; ids as in ``a::0::b``."""
    children = value.items() if isinstance(value, Mapping) else enumerate(value) if isinstance(value, list) else ()
    for key, item in children:
        id_ = f"{prefix}{SEPARATOR}{key}" if prefix else str(key)
        yield id_, item
        yield from iterate_ids(item, id_)


def is_component(value: Any) -> bool:
    """Return whether a value is built by MONAI from its ``_target_``."""
    return isinstance(value, Mapping) and TARGET in value


def is_literal(value: Any) -> bool:
    """Return whether a value means itself: no reference, expression, macro or component is in it."""
    if isinstance(value, str):
        return not value.startswith(("@", "$", "%"))
    if isinstance(value, Mapping):
        return not is_component(value) and all(is_literal(item) for item in value.values())
    return all(is_literal(item) for item in value) if isinstance(value, list) else True


def references_in(value: Any) -> Iterator[str]:
    """Yield the ids a string refers to: ``@a::b``, ``%a`` and every ``@id`` inside of an expression."""
    if not isinstance(value, str):
        return
    normal = value.replace("#", SEPARATOR)
    if normal.startswith("$"):
        yield from INNER_REFERENCE.findall(normal)
    elif whole := WHOLE_REFERENCE.fullmatch(normal):
        yield whole[1]


def lookup(config: Any, id_: str) -> Any:
    """Return the value with this id.

    Raises:
        KeyError: nothing has this id.
    """
    value = config
    for key in id_.split(SEPARATOR):
        if isinstance(value, Mapping) and key in value:
            value = value[key]
        elif isinstance(value, list) and key.isdigit() and int(key) < len(value):
            value = value[int(key)]
        else:
            raise KeyError(id_)
    return value


def follow(config: Mapping[str, Any], value: Any) -> Any:
    """Return what a chain of plain references ends at, or the value itself when it is none."""
    for _ in range(MAXIMUM_HOPS):
        whole = INNER_REFERENCE.fullmatch(value) if isinstance(value, str) else None
        if whole is None:
            return value
        try:
            value = lookup(config, whole[1])
        except KeyError:
            return value
    return value
