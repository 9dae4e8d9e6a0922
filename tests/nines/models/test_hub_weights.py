from pathlib import Path
from typing import Any

import huggingface_hub
import pytest
from huggingface_hub.errors import LocalEntryNotFoundError

from nines.errors import WeightsError
from nines.models import weights
from nines.models.hub_weights import split_revision


class FakeHub:
    """A hub with one model; `snapshot_download` puts those of its files into a folder that the patterns allow."""

    def __init__(self, folder: Path, files: list[str], *, reachable: bool = True) -> None:
        self.folder, self.files, self.reachable = folder, files, reachable
        self.asked: list[dict[str, Any]] = []

    def snapshot_download(self, name: str, **options: Any) -> str:
        self.asked.append({"name": name, **options})
        if options["local_files_only"]:
            if not self.folder.is_dir():
                raise LocalEntryNotFoundError("not here")
            return str(self.folder)
        if not self.reachable:
            raise LocalEntryNotFoundError("no connection")
        self.folder.mkdir(exist_ok=True)
        for file in self.files:
            if any(Path(file).match(pattern) for pattern in options["allow_patterns"]):
                (self.folder / file).touch()
        return str(self.folder)


def _install(hub: FakeHub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(huggingface_hub, "snapshot_download", hub.snapshot_download)


def test_pickles_are_fetched_only_where_there_are_no_safetensors(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    both = FakeHub(tmp_path / "both", ["config.json", "model.safetensors", "pytorch_model.bin"])
    _install(both, monkeypatch)
    assert sorted(file.name for file in weights.resolve("hub:some/model").iterdir()) == [
        "config.json",
        "model.safetensors",
    ]
    old = FakeHub(tmp_path / "old", ["config.json", "spm.model", "pytorch_model.bin", "tf_model.h5"])
    _install(old, monkeypatch)
    folder = weights.resolve("hub:some/old")
    assert sorted(file.name for file in folder.iterdir()) == ["config.json", "pytorch_model.bin", "spm.model"]


def test_a_snapshot_that_is_here_needs_no_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hub = FakeHub(tmp_path / "here", [], reachable=False)
    hub.folder.mkdir()
    for file in ("config.json", "model.safetensors"):
        (hub.folder / file).touch()
    _install(hub, monkeypatch)
    assert weights.resolve("hub:some/model@v2") == hub.folder
    assert all(asked["local_files_only"] and asked["revision"] == "v2" for asked in hub.asked)


def test_an_unreachable_hub_is_one_line_that_says_what_to_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _install(FakeHub(tmp_path / "none", [], reachable=False), monkeypatch)
    with pytest.raises(WeightsError, match="nines weights fetch hub:some/model") as caught:
        weights.resolve("hub:some/model")
    assert "\n" not in str(caught.value)


def test_a_model_without_parameters_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _install(FakeHub(tmp_path / "empty", ["config.json"]), monkeypatch)
    with pytest.raises(WeightsError, match="holds no weights"):
        weights.resolve("hub:some/empty")


def test_a_revision_follows_the_at_sign() -> None:
    assert split_revision("some/model@abc") == ("some/model", "abc")
    assert split_revision("some/model") == ("some/model", None)
