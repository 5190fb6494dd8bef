import json
from pathlib import Path

import pytest

from medbundles import registry
from medbundles.errors import ConfigurationError


@pytest.fixture
def content(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository of one bundle without weights."""
    configs = tmp_path / "bundles" / "spleen" / "configs"
    configs.mkdir(parents=True)
    (configs / "metadata.json").write_text('{"version": "1.2.0", "task": "Spleen in CT"}')
    (configs / "train.yaml").write_text("bundle_root: bundles/spleen\n")
    monkeypatch.setattr(registry, "content_root", lambda: tmp_path)
    return tmp_path


def test_a_bundle_without_weights_is_listed(content: Path) -> None:
    bundle = registry.read_bundle("spleen")
    assert (bundle.version, bundle.configs, bundle.model) == ("1.2.0", ("train.yaml",), None)


def test_released_weights_come_with_their_results(content: Path) -> None:
    models = content / "models" / "spleen"
    models.mkdir(parents=True)
    (models / "model.json").write_text('{"labels": {"1": "spleen"}}')
    (models / "results.json").write_text('{"dice": 0.9}')
    (models / "model.pt").touch()
    model = registry.read_bundle("spleen").model
    assert model is not None
    assert (model.files, model.results) == (("model.pt",), {"dice": 0.9})


def test_a_bundle_is_plain_data_for_machines(content: Path) -> None:
    assert json.loads(json.dumps(registry.read_bundle("spleen").as_dict()))["folder"].endswith("bundles/spleen")


def test_a_folder_of_ones_own_is_a_bundle_too(content: Path) -> None:
    assert registry.bundle_folder(str(content / "bundles" / "spleen")) == content / "bundles" / "spleen"


def test_a_folder_without_metadata_is_no_bundle(content: Path) -> None:
    with pytest.raises(ConfigurationError, match="there is: spleen"):
        registry.bundle_folder(str(content / "bundles"))


def test_damaged_metadata_is_named(content: Path) -> None:
    (content / "bundles" / "spleen" / "configs" / "metadata.json").write_text('{"version": ')
    with pytest.raises(ConfigurationError, match=r"CFG003.*metadata\.json"):
        registry.read_bundle("spleen")
