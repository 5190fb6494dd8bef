"""What pip installs: the declared packages, the command, and the bundles as data."""

import configparser
import json
import re
import shutil
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest


@pytest.fixture(scope="module")
def declared(repository: Path) -> configparser.ConfigParser:
    parser = configparser.ConfigParser()
    parser.read(repository / "setup.cfg", encoding="utf-8")
    return parser


def test_every_package_is_declared(declared: configparser.ConfigParser, repository: Path) -> None:
    folders = {path.parent.relative_to(repository) for path in repository.glob("medbundles/**/__init__.py")}
    expected = {".".join(folder.parts) for folder in folders}
    listed = set(declared["options"]["packages"].split())
    assert {name for name in listed if not name.startswith("medbundles.content")} == expected


def test_data_folders_map_to_the_packages_content(declared: configparser.ConfigParser) -> None:
    mapping = declared["options"]["package_dir"]
    assert all(f"medbundles.content.{name} = {name}" in mapping for name in ("bundles", "configs", "models"))


def test_every_package_that_is_always_installed_is_used(declared: configparser.ConfigParser, repository: Path) -> None:
    # fire runs behind monai.bundle, tensorboard behind torch; pydicom is there for the reading of DICOM series.
    behind = {"fire", "tensorboard", "pydicom"}
    modules = {"pytorch-ignite": "ignite", "PyYAML": "yaml", "connected-components-3d": "cc3d", "pillow": "PIL"}
    source = "\n".join(path.read_text(encoding="utf-8") for path in (repository / "medbundles").rglob("*.py"))
    names = {line.split(">")[0] for line in declared["options"]["install_requires"].split()} - behind
    unused = [name for name in names if not re.search(rf"(import|from) {modules.get(name, name)}\b", source)]
    assert unused == []


def test_the_constraints_pin_every_declared_package(declared: configparser.ConfigParser, repository: Path) -> None:
    lines = (repository / "constraints.txt").read_text().splitlines()
    pinned = {line.split("==")[0].lower().replace("_", "-") for line in lines if "==" in line}
    # dwi, dicom and ray belong to bundles that are not there yet.
    needed = [declared["options"]["install_requires"]]
    needed += [declared["options.extras_require"][extra] for extra in ("openvino", "onnx", "mlflow", "swin", "dev")]
    names = {line.split(">")[0].strip().lower() for block in needed for line in block.strip().splitlines()}
    assert names - pinned == set()


def test_constraints_fit_any_build_of_torch(repository: Path) -> None:
    assert "+" not in "".join((repository / "constraints.txt").read_text().splitlines()[1:])


@pytest.mark.slow
def test_the_wheel_carries_the_bundles(repository: Path, tmp_path: Path) -> None:
    # From a copy: setuptools leaves a build folder behind, and takes stale files from one that is there.
    source = tmp_path / "source"
    for folder in ("medbundles", "bundles", "configs", "models"):
        shutil.copytree(repository / folder, source / folder, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("setup.cfg", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(repository / name, source / name)
    build = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", tmp_path, source]
    subprocess.run(build, check=True)
    (wheel,) = tmp_path.glob("medbundles-*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    kept = {
        f"medbundles/content/{path.relative_to(source).as_posix()}"
        for folder in ("bundles", "configs", "models")
        for path in (source / folder).rglob("*")
        if path.is_file()
    }
    assert kept - names == set()
    assert not any(name.startswith(("bundles/", "configs/", "models/", "tests/")) for name in names)

    venv.create(tmp_path / "env", with_pip=True, system_site_packages=False)
    python = tmp_path / "env" / ("Scripts" if sys.platform == "win32" else "bin") / "python"
    install = [python, "-m", "pip", "install", "--quiet", "-c", repository / "constraints.txt", "typer", "PyYAML"]
    subprocess.run(install, check=True)
    subprocess.run([python, "-m", "pip", "install", "--quiet", "--no-deps", wheel], check=True)
    info = subprocess.run(
        [python, "-m", "medbundles", "info", "--json"], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert "lung_nodule_ct_segmentation" in [bundle["name"] for bundle in json.loads(info.stdout)]
    subprocess.run(
        [python, "-m", "medbundles", "copy", "lung_nodule_ct_segmentation", "mine"], cwd=tmp_path, check=True
    )
    assert (tmp_path / "mine" / "configs" / "train.yaml").is_file()
