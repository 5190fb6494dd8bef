"""The zip: what is in it, and that it says nothing about the machine that made it."""

import json
import shutil
import subprocess
import zipfile
from pathlib import Path

import pytest
import torch

from medbundles.checks.vendored import HASH_NAME, VENDORED_ROOMS, check_loaded_version, package_hash
from medbundles.errors import ConfigurationError, DataError, OutputConflict, UntrustedContent
from medbundles.export import FORMATS, Export, export_bundle
from medbundles.io.hashing import sha256_file

BUNDLE = "lung_nodule_ct_segmentation"


def test_every_file_lies_in_the_folder_the_zip_is_named_after(exported: Export) -> None:
    with zipfile.ZipFile(exported.path) as archive:
        assert {name.split("/")[0] for name in archive.namelist()} == {exported.path.stem} == {BUNDLE}


def test_it_holds_what_a_bundle_must_hold(unzipped: Path) -> None:
    expected = [
        "LICENSE",
        "configs/metadata.json",
        "configs/inference.yaml",
        "configs/train.yaml",
        "docs/README.md",
        "docs/weights.md",
        "models/model.pt",
        "models/model.json",
        "models/model.safetensors",
        "models/model.ts",
        "models/model.onnx",
    ]
    assert [name for name in expected if not (unzipped / name).is_file()] == []


def test_configurations_differ_only_in_where_the_bundle_lies(unzipped: Path, repository: Path) -> None:
    for path in (repository / "bundles" / BUNDLE / "configs").iterdir():
        lines = path.read_text().splitlines()
        copied = (unzipped / "configs" / path.name).read_text().splitlines()
        commands = [line.replace(f"bundles/{BUNDLE}/", "") if line.startswith("#") else line for line in lines]
        changed = [(old, new) for old, new in zip(commands, copied, strict=True) if old != new]
        assert all(old.startswith("bundle_root:") and new == 'bundle_root: "."' for old, new in changed)


def test_only_the_rooms_a_configuration_may_name_are_vendored(unzipped: Path) -> None:
    assert {path.name for path in (unzipped / "medbundles").iterdir() if path.is_dir()} == set(VENDORED_ROOMS)


def test_checksums_fit(unzipped: Path) -> None:
    answer = subprocess.run(["sha256sum", "--check", "--quiet", "SHA256SUMS"], cwd=unzipped, check=False)
    listed = {line.split("  ", 1)[1] for line in (unzipped / "SHA256SUMS").read_text().splitlines()}
    files = {path.relative_to(unzipped).as_posix() for path in unzipped.rglob("*") if path.is_file()}
    assert answer.returncode == 0
    assert files - listed == {"SHA256SUMS"}


def test_no_file_names_the_machine_that_exported(exported: Export, repository: Path) -> None:
    with zipfile.ZipFile(exported.path) as archive:
        telling = [name for name in archive.namelist() if str(repository).encode() in archive.read(name)]
        torchscript = archive.read(f"{BUNDLE}/models/model.ts")
    assert telling == []
    assert b".debug_pkl" not in torchscript


def test_the_same_content_gives_the_same_bytes(exported: Export, run_folder: Path, tmp_path: Path) -> None:
    again = export_bundle(BUNDLE, tmp_path, run_folder, formats=["safetensors", "onnx"])
    with zipfile.ZipFile(exported.path) as first, zipfile.ZipFile(again.path) as second:
        changing = {f"{BUNDLE}/models/model.ts", f"{BUNDLE}/SHA256SUMS"}
        names = sorted(set(first.namelist()) - changing)
        assert names == sorted(set(second.namelist()) - changing)
        assert [name for name in names if first.read(name) != second.read(name)] == []


def test_an_existing_zip_stays_unless_told(exported: Export, run_folder: Path) -> None:
    before = exported.path.stat().st_mtime_ns
    with pytest.raises(OutputConflict, match=exported.path.name):
        export_bundle(BUNDLE, exported.path.parent, run_folder)
    assert exported.path.stat().st_mtime_ns == before


def test_a_pickle_is_refused(run_folder: Path, tmp_path: Path) -> None:
    foreign = tmp_path / "run"
    shutil.copytree(run_folder, foreign)
    torch.save({"model": Path("code")}, foreign / "model.pt")
    description = json.loads((foreign / "model.json").read_text())
    description["files"] = {"model.pt": sha256_file(foreign / "model.pt")}
    (foreign / "model.json").write_text(json.dumps(description))
    with pytest.raises(UntrustedContent, match="TRU002"):
        export_bundle(BUNDLE, tmp_path / "out", foreign)
    assert not (tmp_path / "out" / f"{BUNDLE}.zip").exists()


@pytest.mark.parametrize(("content", "code"), [(None, "TRN011"), (b"another", "TRN007")])
def test_a_missing_or_other_second_network_is_refused_as_inference_would(
    run_folder: Path, tmp_path: Path, content: bytes | None, code: str
) -> None:
    folder = tmp_path / "run"
    shutil.copytree(run_folder, folder)
    description = json.loads((folder / "model.json").read_text())
    description["files"]["second_stage.pt"] = "0" * 64
    (folder / "model.json").write_text(json.dumps(description))
    if content is not None:
        (folder / "second_stage.pt").write_bytes(content)
    with pytest.raises(DataError, match=rf"{code}.*second_stage\.pt"):
        export_bundle(BUNDLE, tmp_path / "out", folder)
    assert not list(tmp_path.glob("out/*.zip"))


def test_weights_with_nan_are_refused(run_folder: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    shutil.copytree(run_folder, folder)
    state = torch.load(folder / "model.pt", weights_only=True)
    next(tensor for tensor in state.values() if tensor.is_floating_point()).fill_(float("nan"))
    torch.save(state, folder / "model.pt")
    description = json.loads((folder / "model.json").read_text())
    description["files"] = {"model.pt": sha256_file(folder / "model.pt")}
    (folder / "model.json").write_text(json.dumps(description))
    with pytest.raises(DataError, match="TRN003"):
        export_bundle(BUNDLE, tmp_path / "out", folder)


def test_the_name_of_a_zip_is_no_folder(run_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=rf"folder of the zip.*pass {tmp_path} to get .*{BUNDLE}\.zip"):
        export_bundle(BUNDLE, tmp_path / "mine.zip", run_folder)
    assert not (tmp_path / "mine.zip").exists()


def test_a_misspelt_format_is_refused(run_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"onxx.*there is: safetensors, torchscript, onnx"):
        export_bundle(BUNDLE, tmp_path, run_folder, formats=[*FORMATS, "onxx"])


def test_weights_without_description_are_refused(run_folder: Path, tmp_path: Path) -> None:
    shutil.copy(run_folder / "model.pt", tmp_path / "model.pt")
    with pytest.raises(DataError, match=r"TRN011.*model\.json"):
        export_bundle(BUNDLE, tmp_path / "out", tmp_path / "model.pt")


def test_the_vendored_copy_has_the_hash_it_claims(unzipped: Path) -> None:
    vendored = unzipped / "medbundles"
    assert (vendored / HASH_NAME).read_text().strip() == package_hash(vendored)
    assert check_loaded_version(unzipped) == []


def test_another_loaded_version_is_found(unzipped: Path, tmp_path: Path) -> None:
    other = tmp_path / BUNDLE
    shutil.copytree(unzipped / "medbundles", other / "medbundles")
    (other / "medbundles" / HASH_NAME).write_text("0" * 64)
    (finding,) = check_loaded_version(other)
    assert finding.code == "CFG005"
    assert str(other) in finding.fix


def test_the_page_on_the_weights_names_their_hash_and_origin(unzipped: Path) -> None:
    page = (unzipped / "docs" / "weights.md").read_text()
    assert json.loads((unzipped / "models" / "model.json").read_text())["files"]["model.pt"] in page
    assert "not a medical device" in page
    assert "unknown" in page  # this test's model.json does not say how it was trained
