"""CFG002: every component's arguments, bound to its signature before anything is built."""

from __future__ import annotations

import ast
import difflib
import inspect
import pydoc
import textwrap
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from medbundles.checks.config_ids import COMPONENT_KEYS, TARGET, follow, is_component, is_literal, iterate_ids
from medbundles.checks.config_types import describe_type, literal_fits, simple_types
from medbundles.errors import Finding

# Where MONAI finds a component that is named without its module; for suggestions only.
SHORT_NAME_MODULES = (
    "monai.transforms", "monai.data", "monai.engines", "monai.handlers", "monai.inferers",
    "monai.losses", "monai.metrics", "monai.networks.nets", "monai.optimizers",
)  # fmt: skip
NAMED = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)


@dataclass(frozen=True)
class Arguments:
    """What a component accepts by name.

    Attributes:
        parameters: by name; those of the base classes, too, where ``**kwargs`` is handed on to them.
        required: names without a default.
        open: whether any other name is accepted as well.
    """

    parameters: Mapping[str, inspect.Parameter]
    required: frozenset[str]
    open: bool


def check_components(config: Mapping[str, Any], settled: Collection[str] = ()) -> list[Finding]:
    """Bind the arguments of every component to its signature.

    ``@`` references to literals are followed; what an expression will be is unknown and fits everything. Components
    with ``_mode_: callable`` may lack arguments, their caller gives the rest.

    Args:
        config: the raw configuration with macros resolved; nothing in it is evaluated, but modules are imported.
        settled: keys whose value is refused already; arguments that refer to one are not judged again.

    Returns:
        One error for each component that cannot be found and for each unknown, missing or wrongly typed argument.
    """
    findings: list[Finding] = []
    judged = {f"@{key}" for key in settled}
    for id_, value in iterate_ids(config):
        if is_component(value) and not _is_disabled(value) and is_literal(value[TARGET]):
            findings.extend(_check_component(config, id_, value, judged))
    return findings


def accepted_arguments(component: Mapping[str, Any]) -> Arguments | None:
    """Return what a component of a configuration accepts, or ``None`` when that cannot be known."""
    found, _ = _locate(component)
    return None if found is None else _arguments_of(found)


def _check_component(
    config: Mapping[str, Any], id_: str, component: Mapping[str, Any], judged: Collection[str]
) -> Iterator[Finding]:
    target = component[TARGET]
    found, problem = _locate(component)
    if found is None:
        yield Finding("CFG002", "error", f"{id_}: {problem}", _closest_component(str(target)))
        return
    accepted = _arguments_of(found)
    if accepted is None:
        return
    given = {str(name): value for name, value in component.items() if name not in COMPONENT_KEYS}
    for name, value in given.items():
        parameter = accepted.parameters.get(name)
        if parameter is None:
            if not accepted.open:
                fix = _closest(name, list(accepted.parameters))
                yield Finding("CFG002", "error", f"{id_}: {target} has no argument {name}", fix)
        elif not (isinstance(value, str) and value in judged):
            yield from _check_type(id_, parameter, value, follow(config, value))
    if component.get("_mode_", "default") != "callable":
        for name in sorted(accepted.required - given.keys()):
            yield Finding("CFG002", "error", f"{id_}: {target} needs the argument {name}", f"set {id_}::{name}")


def _check_type(id_: str, parameter: inspect.Parameter, value: Any, literal: Any) -> Iterator[Finding]:
    types = simple_types(parameter.annotation)
    if types is None or is_component(literal) or (isinstance(literal, str) and not is_literal(literal)):
        return
    if literal is None and parameter.default is not inspect.Parameter.empty:
        return
    if not literal_fits(literal, types):
        origin = f" ({value})" if isinstance(value, str) and value.startswith("@") else ""
        message = f"{id_}::{parameter.name}{origin} is {literal!r}, expected {describe_type(types)}"
        yield Finding("CFG002", "error", message, _type_remedy(literal, types))


def _type_remedy(literal: Any, types: frozenset[type]) -> str:
    if isinstance(literal, str) and bool in types and literal.lower() in {"true", "false", "yes", "no"}:
        # Python Fire, which reads monai.bundle's command line, knows only Python's own spelling.
        python = "True" if literal.lower() in {"true", "yes"} else "False"
        return f"on monai.bundle's command line write {python}"
    return ""


def _locate(component: Mapping[str, Any]) -> tuple[Callable[..., Any] | None, str]:
    target = component[TARGET]
    if not isinstance(target, str) or not is_literal(target):
        return None, f"{target} is known only when it runs"
    module = None if "." in target else _monai_locator().get_component_module_name(target)
    # MONAI, too, takes the first of several.
    name = f"{module[0] if isinstance(module, list) else module}.{target}" if module else target
    try:
        found = pydoc.locate(name)
    except pydoc.ErrorDuringImport as error:
        if isinstance(error.value, KeyboardInterrupt):
            raise error.value from error
        return None, f"{target} cannot be imported: {error.value}"
    if found is None:
        return None, f"there is no component {target}"
    return (found, "") if callable(found) else (None, f"{target} is no class or function")


@cache
def _monai_locator() -> Any:
    from monai.bundle.config_item import ComponentLocator

    return ComponentLocator()


@cache
def _arguments_of(found: Callable[..., Any]) -> Arguments | None:
    try:
        signature = inspect.signature(found)
    except (TypeError, ValueError):
        return None
    every = signature.parameters.values()
    if any(parameter.kind is inspect.Parameter.POSITIONAL_ONLY for parameter in every):
        return None
    parameters = {parameter.name: parameter for parameter in every if parameter.kind in NAMED}
    required = frozenset(name for name, parameter in parameters.items() if parameter.default is inspect.Parameter.empty)
    is_open = any(parameter.kind is inspect.Parameter.VAR_KEYWORD for parameter in every)
    if is_open and inspect.isclass(found):
        inherited, is_open = _inherited_parameters(found)
        parameters = inherited | parameters
    return Arguments(parameters, required, is_open)


def _inherited_parameters(found: type) -> tuple[dict[str, inspect.Parameter], bool]:
    """Return the parameters that ``**kwargs`` reaches in the base classes, and whether it stays open after them."""
    parameters: dict[str, inspect.Parameter] = {}
    for owner in (owner for owner in found.__mro__ if "__init__" in vars(owner) and owner is not object):
        constructor = vars(owner)["__init__"]
        try:
            every = list(inspect.signature(constructor).parameters.values())[1:]
        except (TypeError, ValueError):
            return parameters, True
        parameters = {parameter.name: parameter for parameter in every if parameter.kind in NAMED} | parameters
        rest = [parameter.name for parameter in every if parameter.kind is inspect.Parameter.VAR_KEYWORD]
        if not rest:
            return parameters, False
        if not _hands_on(constructor, rest[0]):
            return parameters, True
    return parameters, True


def _hands_on(constructor: Callable[..., Any], rest: str) -> bool:
    """Return whether a constructor hands all of ``**rest`` to ``super().__init__`` and takes nothing out of it."""
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(inspect.unwrap(constructor))))
    except (OSError, TypeError, SyntaxError):
        return False
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    handed = any(
        ast.unparse(call.func) == "super().__init__"
        and any(word.arg is None and ast.unparse(word.value) == rest for word in call.keywords)
        for call in calls
    )
    return handed and not any(ast.unparse(call.func) == f"{rest}.pop" for call in calls)


def _is_disabled(component: Mapping[str, Any]) -> bool:
    disabled = component.get("_disabled_", False)
    return disabled.strip().lower() == "true" if isinstance(disabled, str) else bool(disabled)


def _closest(name: str, known: list[str]) -> str:
    close = difflib.get_close_matches(name, known, n=1)
    return f"did you mean {close[0]}?" if close else ""


def _closest_component(target: str) -> str:
    module_name, _, name = target.rpartition(".")
    modules = [module_name] if module_name else list(SHORT_NAME_MODULES)
    names: list[str] = []
    for module in modules:
        try:
            names += dir(pydoc.locate(module))
        except pydoc.ErrorDuringImport:
            continue
    return _closest(name, names)
