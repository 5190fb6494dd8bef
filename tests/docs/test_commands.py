"""Every command the documentation shows exists, with the options and keys it shows."""

from __future__ import annotations

import importlib
import inspect
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer
import yaml

from medbundles.cli import app
from medbundles.command_files import FILES

REPOSITORY = Path(__file__).resolve().parents[2]
PAGES = [
    REPOSITORY / "README.md",
    *sorted(REPOSITORY.glob("docs/**/*.md")),
    *sorted(REPOSITORY.glob("bundles/*/docs/README.md")),
]
BUNDLE = "lung_nodule_ct_segmentation"
SHELL_BLOCK = re.compile(r"^```sh\n(.*?)^```", re.MULTILINE | re.DOTALL)
# What belongs to others and is no promise of ours.
FOREIGN = ("python3 -m venv", "pip install", "source ", "perl -pi ", "tensorboard ", "mlflow ui", "docker ")
COMMANDS = typer.main.get_command(app).commands  # type: ignore[attr-defined]  # a group, as there are several


def documented() -> Iterator[tuple[str, str]]:
    for page in PAGES:
        for block in SHELL_BLOCK.findall(page.read_text(encoding="utf-8")):
            yield from ((page.relative_to(REPOSITORY).as_posix(), line) for line in lines(block))
    yield from (("docs/demo.sh", line) for line in lines((REPOSITORY / "docs/demo.sh").read_text()) if is_ours(line))


def lines(block: str) -> list[str]:
    joined = block.replace("\\\n", " ").replace("$bundle", BUNDLE)
    split = [part.strip() for line in joined.splitlines() for part in line.split(" #")[0].split(" && ")]
    return [line for line in split if line and not line.startswith("#")]


def is_ours(line: str) -> bool:
    return line.startswith(("medbundles ", "python -m monai.bundle", "torchrun", "make ", "bash "))


def keys(words: list[str], *files: str) -> set[str]:
    """Top-level keys in configurations of the bundle that a command line names."""
    bundle = next((word for word in words if (REPOSITORY / "bundles" / word).is_dir()), BUNDLE)
    folder = REPOSITORY / "bundles" / bundle / "configs"
    return {key.split("::")[0] for file in files for key in yaml.safe_load((folder / file).read_text())}


def allowed_options(words: list[str]) -> set[str]:
    """Long options, without dashes, that a ``medbundles`` command line may have."""
    command = words[1]
    options = {name.lstrip("-") for parameter in COMMANDS[command].params for name in parameter.opts}
    if command in FILES:
        return options | keys(words, *FILES[command])
    if command in {"check", "generalize"}:  # keys of trainings
        return options | keys(words, *FILES["train"])
    if command in {"prepare", "samples"}:
        module = importlib.import_module(f"medbundles.{command}.{words[2]}")
        function = getattr(module, {"prepare": "prepare", "samples": "write_samples"}[command])
        return options | set(inspect.signature(function).parameters)
    return options


@pytest.mark.parametrize(("page", "line"), list(documented()))
def test_a_documented_command_exists(page: str, line: str) -> None:
    words = shlex.split(line)
    options = [word[2:].split("=")[0] for word in words if word.startswith("--")]
    if words[0] == "medbundles":
        assert words[1] in COMMANDS
        assert set(options) - allowed_options(words) == set()
    elif "monai.bundle" in words:
        file = words[words.index("--config_file") + 1]
        configs = [REPOSITORY / each for each in re.findall(r"[\w./]+\.yaml", file)]
        run_id = words[words.index("run") + 1]
        # A bundle's own page is read in an exported zip, too: its paths start in the bundle's folder.
        bundle = (REPOSITORY / page).parents[1]
        assert all(config.is_file() or (bundle / config.relative_to(REPOSITORY)).is_file() for config in configs)
        assert run_id.startswith("--") or run_id in keys(words, *(config.name for config in configs))
        known = keys(words, *(config.name for config in configs)) | {"config_file", "nproc_per_node", "workflow_name"}
        assert set(options) - known == set()
    elif words[0] == "make":
        assert re.search(rf"^{words[1]}:", (REPOSITORY / "Makefile").read_text(), re.MULTILINE)
    elif words[0] == "bash":
        assert (REPOSITORY / words[1]).is_file()
    elif words[1].startswith("benchmarks/"):
        scripts = [REPOSITORY / words[1], *(REPOSITORY / "benchmarks" / "support").glob("*.py")]
        source = "".join(script.read_text(encoding="utf-8") for script in scripts)
        assert [option for option in options if f'"--{option}"' not in source] == []
    else:
        assert line.startswith(FOREIGN), f"{page} shows a command that no test knows"


def test_help_of_make_lists_every_target() -> None:
    text = (REPOSITORY / "Makefile").read_text()
    (phony,) = re.findall(r"^\.PHONY: (.*)$", text, re.MULTILINE)
    assert set(phony.split()) == set(re.findall(r"^([a-z-]+):.*## ", text, re.MULTILINE))


def test_the_continuous_check_is_the_documented_one() -> None:
    assert (REPOSITORY / ".ci" / "run").read_text().rstrip().endswith("make test")
