import json
import threading
import time
from pathlib import Path

import pytest

from nines.errors import WeightsError
from nines.models import tiny, weights


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("bert-base-uncased", "must start with hub:"),
        ("microsoft/deberta-v3-base", "did you mean 'hub:microsoft/deberta-v3-base'"),
        ("ftp:somewhere", "must start with hub:"),
        ("path:", "names nothing"),
        ("tiny:brt", "did you mean 'bert'"),
        ("path:/no/such/folder", "there is no folder"),
    ],
)
def test_a_wrong_source_is_one_line_that_says_what_is_right(source: str, said: str) -> None:
    with pytest.raises(WeightsError, match=said) as caught:
        weights.resolve(source)
    assert "\n" not in str(caught.value)


def test_a_folder_without_config_is_refused(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"no config\.json"):
        weights.resolve(f"path:{tmp_path}")


def test_a_folder_of_ones_own_is_taken_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    assert weights.resolve(f"path:{tmp_path}") == tmp_path
    assert weights.cached(f"path:{tmp_path}") == tmp_path


def test_a_tiny_model_is_written_once_and_found_again() -> None:
    folder = weights.resolve("tiny:bert")
    stamp = (folder / "model.safetensors").stat().st_mtime_ns
    assert weights.resolve("tiny:bert") == folder == weights.cached("tiny:bert")
    assert (folder / "model.safetensors").stat().st_mtime_ns == stamp


def test_those_who_ask_at_once_make_the_weights_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("NINES_CACHE", str(tmp_path))
    made = []

    def slow(family: str, root: Path) -> Path:
        made.append(family)
        time.sleep(0.2)
        folder = tiny.tiny_folder(family, root)
        folder.mkdir(parents=True)
        (folder / "config.json").write_text("{}")
        return folder

    monkeypatch.setattr(tiny, "write_tiny", slow)
    found: list[Path] = []
    threads = [threading.Thread(target=lambda: found.append(weights.fetch("tiny:bert"))) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert made == ["bert"]
    assert len(found) == 3
    assert len(set(found)) == 1


def test_a_fingerprint_follows_the_content_not_the_place(tmp_path: Path) -> None:
    for name in ("a", "b", "c"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.json").write_text(json.dumps({"model_type": "bert"}))
        (tmp_path / name / "model.safetensors").write_bytes(b"12345678" if name != "c" else b"12345679")
    a, b, c = (weights.fingerprint(f"path:{tmp_path / name}") for name in ("a", "b", "c"))
    assert a == b != c
    (tmp_path / "a" / "model.safetensors").write_bytes(b"changed")
    assert weights.fingerprint(f"path:{tmp_path / 'a'}") != a


def test_a_folder_without_parameters_has_no_fingerprint(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(WeightsError, match="holds no weights"):
        weights.fingerprint(f"path:{tmp_path}")


def test_safetensors_are_preferred_to_pickles(tmp_path: Path) -> None:
    (tmp_path / "pytorch_model.bin").touch()
    assert [file.name for file in weights.weight_files(tmp_path)] == ["pytorch_model.bin"]
    (tmp_path / "model.safetensors").touch()
    assert [file.name for file in weights.weight_files(tmp_path)] == ["model.safetensors"]
