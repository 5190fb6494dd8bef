"""A configuration workflow that refuses what it cannot mean, before anything starts."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from copy import deepcopy
from pathlib import Path
from typing import Any

from monai.bundle import workflows
from monai.bundle.config_parser import ConfigParser
from monai.bundle.workflows import ConfigWorkflow
from yaml import YAMLError

from medbundles.checks.config import check_config, check_file, check_overrides
from medbundles.components.workflows.active_config import raw_config
from medbundles.components.workflows.endings import close_open_sessions, explain
from medbundles.components.workflows.refusal import refuse
from medbundles.errors import ConfigurationError, Finding, MedbundlesError, causes, reason_of

# MONAI warns of every overlay from another folder than the bundle's, which is what `--overlay` is for.
workflows.logger.addFilter(lambda record: not record.getMessage().startswith("Not all config files are in"))

COMPONENTS_LINE = "# === Components"
TOP_KEY = re.compile(r"^([A-Za-z]\w*):", re.MULTILINE)

# How MONAI begins the error around what a component's constructor raised.
NOT_BUILT = re.compile(r"Failed to instantiate component '([^']*)'")


class StrictWorkflow(ConfigWorkflow):
    """MONAI's ``ConfigWorkflow``, with the configuration checked as a whole before it is evaluated.

    Misspelt overrides, unknown, missing and wrongly typed arguments of components, references to nothing, duplicate
    keys and numbers that YAML takes for text are reported together. A run that fails is recorded in its ``run.json``.

    Works as ``python -m monai.bundle run_workflow --workflow_name medbundles.components.workflows.StrictWorkflow
    --config_file ...`` (exit codes as of the ``medbundles`` command) and from Python.

    Args:
        config_file: a YAML or JSON file, or several that are merged in order; the first decides where the bundle is.
        meta_file: as in MONAI; by default ``metadata.json`` beside the first file.
        logging_file: as in MONAI; by default ``logging.conf`` beside the first file.
        init_id: what is evaluated first.
        run_id: what runs.
        final_id: what is evaluated last.
        tracking: as in MONAI, such as ``mlflow``.
        workflow_type: ``train``, ``infer`` or ``None``, for MONAI's properties.
        properties_path: as in MONAI.
        **override: id to value; each id must exist, or be an argument of the component it belongs to.

    Raises:
        ConfigurationError: with every finding (CFG001, CFG002, CFG003).
    """

    def __init__(
        self,
        config_file: str | Sequence[str],
        meta_file: str | Sequence[str] | None = None,
        logging_file: str | bool | None = None,
        init_id: str = "initialize",
        run_id: str = "run",
        final_id: str = "finalize",
        tracking: str | dict[str, Any] | None = None,
        workflow_type: str | None = "train",
        properties_path: str | None = None,
        **override: Any,
    ) -> None:
        files = _as_files(config_file)
        findings = validate(files, override, run_id)
        if any(finding.level == "error" for finding in findings):
            refuse(ConfigurationError(findings=findings))
        super().__init__(
            config_file=[str(file) for file in files],
            meta_file=meta_file,
            logging_file=logging_file,
            init_id=init_id,
            run_id=run_id,
            final_id=final_id,
            tracking=tracking,
            workflow_type=workflow_type,
            properties_path=properties_path,
            **override,
        )

    def initialize(self) -> Any:
        """Evaluate ``initialize``; an expected failure leaves with its own exit code."""
        with _truthful_end():
            return super().initialize()

    def run(self) -> Any:
        """Run; however it fails, the run record says so, and an expected failure leaves with its own exit code."""
        with _truthful_end():
            return super().run()


def validate(files: Sequence[Path], override: Mapping[str, Any], run_id: str = "run") -> list[Finding]:
    """Check configuration files and overrides without evaluating anything in them.

    Args:
        files: merged in order.
        override: id to value.
        run_id: what shall run; must be in the configuration.

    Returns:
        All findings, in the order: files, overrides, the merged configuration.
    """
    findings = [finding for file in files for finding in check_file(file)]
    parser = ConfigParser()
    try:
        parser.read_config([str(file) for file in files])
    except (KeyError, ValueError, OSError, YAMLError) as error:
        if findings:  # they say why
            return findings
        message = f"the files cannot be merged: {' '.join(map(str, error.args))}"
        fix = "a key such as a::b must name something the earlier files have"
        return [Finding("CFG001", "error", message, fix, file=", ".join(file.name for file in files))]
    judged = check_overrides(raw_config(parser), override, components_of(files))
    findings += judged.values()
    refused = {id_ for id_, finding in judged.items() if finding.level == "error"}
    parser.update({id_: deepcopy(value) for id_, value in override.items() if id_ not in refused})
    try:
        parser.resolve_macro_and_relative_ids()
    except (KeyError, ValueError, OSError) as error:
        message = f"a macro (%) refers to nothing: {' '.join(map(str, error.args))}"
        return [*findings, Finding("CFG001", "error", message, "refer to a key of this configuration")]
    config = raw_config(parser)
    if run_id not in config:
        findings.append(Finding("CFG001", "error", f"there is nothing named {run_id} to run", "check run_id"))
    return [*findings, *check_config(config)]


def components_of(files: Sequence[Path]) -> set[str]:
    """Return the keys that stand below the line "Components" of a bundle's file: no settings, whatever their names."""
    texts = [file.read_text(encoding="utf-8").partition(COMPONENTS_LINE) for file in files]
    settings = {key for above, _, _ in texts for key in TOP_KEY.findall(above)}
    return {key for _, _, below in texts for key in TOP_KEY.findall(below)} - settings


def _as_files(config_file: str | Sequence[str]) -> list[Path]:
    # MONAI takes "a.yaml,b.yaml" as well as a list.
    names = config_file.split(",") if isinstance(config_file, str) else config_file
    return [Path(name) for name in names]


@contextmanager
def _truthful_end() -> Iterator[None]:
    try:
        yield
    except BaseException as error:
        told = explain(error)
        close_open_sessions(told)
        refusal = next((cause for cause in causes(told) if isinstance(cause, MedbundlesError)), None)
        refusal = refusal or _not_built(error)
        if isinstance(error, SystemExit) or refusal is None or refusal is error:
            raise
        refuse(refusal)


def _not_built(error: BaseException) -> ConfigurationError | None:
    """Return the refusal of a component whose own constructor did not accept its arguments, in the end one line."""
    chain = list(causes(error))
    found = next((match for cause in chain if (match := NOT_BUILT.match(str(cause)))), None)
    if found is None or not isinstance(chain[-1], ValueError | TypeError | AssertionError | KeyError | IndexError):
        return None
    finding = Finding("CFG002", "error", f"{found[1]} cannot be built: {reason_of(error)}", "correct its arguments")
    return ConfigurationError(findings=[finding])
