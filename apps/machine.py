"""What `nines doctor` looks at: installed packages, devices, folders, weights, data, and other programs."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from apps.cluster import scheduler
from apps.findings import Finding, Level
from nines import __version__
from nines.cache import cache_folder
from nines.errors import NinesError

GIB = 2**30
DEVICE_SECONDS = 60
# Extra of the distribution to its package, and what needs it.
EXTRAS = {
    "deepspeed": ("deepspeed", "the DeepSpeed trainers need it"),
    "postgresql": ("psycopg", "a sweep's study in PostgreSQL needs it"),
    "dashboard": ("optuna-dashboard", "`nines dashboard` needs it"),
}


def packages(_: str) -> Iterator[Finding]:
    """Python, nines, and every package that it needs, held against the versions that it asks for."""
    yield Finding("python", f"{platform.python_version()} ({sys.executable})")
    yield Finding("nines", f"{__version__} ({Path(__file__).resolve().parent.parent})")
    for requirement in _requirements():
        name = re.split(r"[<>=!~ ;\[]", requirement, maxsplit=1)[0]
        try:
            found = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            yield Finding(name, "not installed", Level.MISSING, f'pip install "{requirement}"')
            continue
        if _satisfies(found, requirement):
            yield Finding(name, found)
        else:
            yield Finding(name, f"{found}, tested with {requirement}", Level.NOTE, f'pip install "{requirement}"')


def extras(_: str) -> Iterator[Finding]:
    """The optional parts, each with what it is good for."""
    for extra, (package, purpose) in EXTRAS.items():
        try:
            yield Finding(package, importlib.metadata.version(package))
        except importlib.metadata.PackageNotFoundError:
            yield Finding(package, f"not installed; only {purpose}", Level.NOTE, f'pip install "nines-lab[{extra}]"')


def devices(_: str) -> Iterator[Finding]:
    """Processor, memory, and what torch sees, asked in a process of its own since a broken driver may hang."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    yield Finding("processor", f"{platform.machine()}, {cores} cores for this process")
    if hasattr(os, "sysconf") and "SC_PHYS_PAGES" in os.sysconf_names:
        total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / GIB
        level = Level.NOTE if total < 4 else Level.OK
        yield Finding("memory", f"{total:.1f} GiB", level, "use fewer workers: workers=1" if total < 4 else "")
    yield from _torch_findings()


def folders(runs: str) -> Iterator[Finding]:
    """Caches with their sizes, the folder of runs, and the space left on their disks."""
    cache = cache_folder()
    yield _space("cache", cache)
    if cache.is_dir():
        for child in sorted(path for path in cache.iterdir() if path.is_dir()):
            yield Finding(f"  {child.name}", _readable(_size(child)))
    yield _space("runs", Path(runs).absolute())


def materials(_: str) -> Iterator[Finding]:
    """The embedded encoder and the embedded data."""
    from nines.models.weights import EMBEDDED_SOURCE, cached

    try:
        folder = cached(EMBEDDED_SOURCE)
    except NinesError as error:
        yield Finding("embedded encoder", str(error), Level.NOTE, "nines weights fetch")
    else:
        if folder is None:
            yield Finding(
                "embedded encoder",
                "not fetched yet; the first run fetches it (80 MB)",
                Level.NOTE,
                "nines weights fetch, while there is a network",
            )
        else:
            yield Finding("embedded encoder", str(folder))
    yield _embedded_data()


def programs(_: str) -> Iterator[Finding]:
    """Other programs, none of which is needed."""
    scripts = Path(sys.executable).parent
    tensorboard = shutil.which("tensorboard", path=f"{scripts}{os.pathsep}{os.environ.get('PATH', '')}")
    yield Finding("tensorboard", tensorboard or "started as a module by `nines tensorboard`")
    git = shutil.which("git")
    yield Finding(
        "git",
        git or "not found",
        Level.OK if git else Level.NOTE,
        "" if git else "only used to record the commit of a run",
    )


GROUPS: dict[str, Callable[[str], Iterator[Finding]]] = {
    "packages": packages,
    "optional packages": extras,
    "devices": devices,
    "folders": folders,
    "weights and data": materials,
    "programs": programs,
    "cluster": scheduler,
}


def _requirements() -> list[str]:
    """What the installed distribution asks for, without extras."""
    try:
        return [line for line in importlib.metadata.requires("nines-lab") or [] if "extra ==" not in line]
    except importlib.metadata.PackageNotFoundError:
        return []


def _satisfies(found: str, requirement: str) -> bool:
    from packaging.requirements import InvalidRequirement, Requirement

    try:
        return Requirement(requirement).specifier.contains(found, prereleases=True)
    except InvalidRequirement:
        return True


DEVICE_PROBE = """
import torch
from nines.models.precision import cpu_has_native_bf16
print("torch|%s, CUDA %s" % (torch.__version__, torch.version.cuda or "not in this build"))
print("bf16 on the processor|%s" % ("native" if cpu_has_native_bf16() else "emulated, so 32-bit is the default"))
count = torch.cuda.device_count() if torch.cuda.is_available() else 0
for index in range(count):
    kind = torch.cuda.get_device_properties(index)
    print("gpu %d|%s, %.0f GiB" % (index, kind.name, kind.total_memory / 2**30))
if count == 0:
    print("gpu|none that torch can use; runs use the processor")
"""


def _torch_findings() -> Iterator[Finding]:
    remedy = "pip install torch==2.13.0 (docs/install.md tells how to choose a CPU or CUDA build)"
    try:
        done = subprocess.run(
            [sys.executable, "-c", DEVICE_PROBE], capture_output=True, text=True, timeout=DEVICE_SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        yield Finding(
            "torch", f"did not answer within {DEVICE_SECONDS} s; is a GPU driver stuck?", Level.MISSING, remedy
        )
        return
    if done.returncode != 0:
        last = done.stderr.strip().splitlines()[-1:] or ["no message"]
        yield Finding("torch", f"cannot be imported: {last[0]}", Level.MISSING, remedy)
        return
    for line in done.stdout.splitlines():
        name, _, value = line.partition("|")
        yield Finding(name, value)


def _space(name: str, folder: Path) -> Finding:
    existing = next(path for path in (folder, *folder.parents) if path.is_dir())
    free = shutil.disk_usage(existing).free
    value = f"{folder} ({_readable(free)} free)"
    if not os.access(existing, os.W_OK):
        how = (
            "set NINES_CACHE to a folder that you may write"
            if name == "cache"
            else "runs=<a folder that you may write>"
        )
        return Finding(name, f"{folder}: not writable", Level.MISSING, how)
    if free < 2 * GIB:
        return Finding(name, value, Level.NOTE, "a default sweep writes about 1 GiB; free some space")
    return Finding(name, value)


def _embedded_data() -> Finding:
    import datamodules.embedded

    folder = Path(next(iter(datamodules.embedded.__path__))) / "injury"
    files = [folder / "labelled" / f"{split}.jsonl" for split in ("train", "valid", "test")]
    gone = [file.name for file in files if not file.is_file()]
    if gone:
        return Finding("embedded data", f"{', '.join(gone)} not in {folder}", Level.MISSING, "install nines again")
    rows = sum(1 for file in files for line in file.open(encoding="utf-8") if line.strip())
    return Finding("embedded data", f"injury, {rows} labelled completions ({folder})")


def _size(folder: Path) -> int:
    return sum(path.lstat().st_size for path in folder.rglob("*") if path.is_file() and not path.is_symlink())


def _readable(size: float) -> str:
    for unit in ("B", "KiB", "MiB", "GiB"):
        if size < 1024 or unit == "GiB":
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1024
    raise AssertionError("unreachable: GiB ends the loop")
