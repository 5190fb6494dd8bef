"""``medbundles doctor``: what this machine has and what the commands will use."""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
import re
import shutil
from pathlib import Path
from typing import Annotated, Any

import typer

from medbundles.registry import content_root

GIBIBYTE = 1 << 30
REQUIREMENT = re.compile(r"^(?P<name>[\w.-]+)[^;]*(?:;.*extra\s*==\s*['\"](?P<extra>\w+)['\"])?")


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command("doctor")(doctor)


def doctor(as_json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False) -> None:
    """Report versions, the device and why, memory, disk, optional extras; ends 4 when a core package is missing."""
    from medbundles.errors import EnvironmentFailure

    report = examine()
    if as_json:
        print(json.dumps(report, indent=2))
    else:
        _show(report)
    missing = [name for name, version in report["packages"].items() if version is None]
    if missing:
        raise EnvironmentFailure(f"missing: {', '.join(missing)}; {advice()}")


def examine() -> dict[str, Any]:
    """Return the report as plain data: versions, device, memory and disk in GiB, extras."""
    needed = requirements()
    extras = {
        extra: {name: installed_version(name) for name in names} for extra, names in needed.items() if extra != ""
    }
    return {
        "medbundles": importlib.metadata.version("medbundles"),
        "python": platform.python_version(),
        "system": platform.platform(),
        "packages": {name: installed_version(name) for name in needed[""]},
        "device": describe_device(),
        "cpu_cores": os.cpu_count(),
        "memory_gib": memory_gib(),
        "disk_free_gib": round(shutil.disk_usage(Path.cwd()).free / GIBIBYTE, 1),
        "extras": extras,
    }


def requirements() -> dict[str, list[str]]:
    """Return the names of the packages this one declares, by extra; the core is under the empty name."""
    return {extra: [name for name, _ in lines] for extra, lines in _declared().items()}


def advice(extra: str = "") -> str:
    """Return the command that installs what is missing.

    This package is on no package index: from a checkout the checkout is installed again, with the extra; where there
    is none, the packages it declares are named one by one, with the versions it takes.

    Args:
        extra: an optional extra; by default what is always needed.
    """
    folder = checkout()
    if folder is not None:
        place = "." if folder == Path.cwd() else folder.as_posix()
        return f"pip install -e '{place}{f'[{extra}]' if extra else ''}'"
    missing = [specifier for name, specifier in _declared()[extra] if installed_version(name) is None]
    return "pip install " + " ".join(f"'{specifier}'" for specifier in missing)


def checkout() -> Path | None:
    """Return the folder of the sources this package runs from, or ``None`` where it was installed from a wheel."""
    root = content_root()
    return root if (root / "setup.cfg").is_file() else None


def _declared() -> dict[str, list[tuple[str, str]]]:
    """Return name and whole specifier of every declared package, by extra."""
    found: dict[str, list[tuple[str, str]]] = {"": []}
    for line in importlib.metadata.requires("medbundles") or []:
        match = REQUIREMENT.match(line)
        if match:
            found.setdefault(match["extra"] or "", []).append((match["name"], line.partition(";")[0].strip()))
    return found


def installed_version(name: str) -> str | None:
    """Return the version of an installed package, or nothing."""
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def describe_device() -> dict[str, Any]:
    """Return what ``device: auto`` chooses here and why."""
    try:
        import torch
    except ImportError:
        return {"auto": None, "why": "torch is not installed"}
    if torch.cuda.is_available():
        properties = torch.cuda.get_device_properties(0)
        memory = round(properties.total_memory / GIBIBYTE, 1)
        return {"auto": "cuda", "why": f"{properties.name} with {memory} GiB, CUDA {torch.version.cuda}"}
    why = "no usable NVIDIA GPU" if torch.version.cuda else f"torch {torch.__version__} is built without CUDA"
    return {"auto": "cpu", "why": f"{why}; {torch.get_num_threads()} threads"}


def memory_gib() -> dict[str, float | None]:
    """Return total and available memory in GiB, where the system tells."""
    memory: dict[str, float | None] = {"total": None, "available": None}
    table = Path("/proc/meminfo")
    if table.is_file():
        values = dict(line.split(":", 1) for line in table.read_text().splitlines() if ":" in line)
        for key, field in (("total", "MemTotal"), ("available", "MemAvailable")):
            memory[key] = round(int(values[field].split()[0]) * 1024 / GIBIBYTE, 1)
    elif hasattr(os, "sysconf"):
        memory["total"] = round(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / GIBIBYTE, 1)
    return memory


def _show(report: dict[str, Any]) -> None:
    print(f"medbundles {report['medbundles']}, Python {report['python']}, {report['system']}")
    print(f"device: {report['device']['auto']} ({report['device']['why']})")
    memory = report["memory_gib"]
    print(f"memory: {memory['available']} of {memory['total']} GiB free; disk: {report['disk_free_gib']} GiB free here")
    print(f"cores: {report['cpu_cores']}\n\ncore packages")
    for name, version in report["packages"].items():
        print(f"  {name:24} {version or 'MISSING'}")
    print("extras")
    for extra, packages in report["extras"].items():
        missing = [name for name, version in packages.items() if version is None]
        state = f"missing: {', '.join(missing)}; {advice(extra)}" if missing else "present"
        print(f"  {extra:24} {state}")
