"""Weights of the Hugging Face hub, kept in the hub's own cache so that other tools share them."""

from __future__ import annotations

from pathlib import Path

from nines.errors import WeightsError

_DESCRIPTION = ("*.json", "*.model", "vocab.txt", "merges.txt")
_PARAMETERS = (("*.safetensors",), ("pytorch_model*.bin",))
"""Tried in this order: older repositories such as microsoft/deberta-v3-base have pickles only."""


def split_revision(rest: str) -> tuple[str, str | None]:
    """Split `<organisation>/<name>@<revision>`; without a revision the hub's main branch is meant."""
    name, _, revision = rest.partition("@")
    return name, revision or None


def hub_folder(rest: str) -> Path | None:
    """The snapshot folder if the hub's cache holds it with parameters, else None. Needs no network."""
    return _snapshot(rest, offline=True)


def fetch_hub(rest: str) -> Path:
    """Download configuration, tokenizer and parameters, and return the snapshot folder.

    Raises:
        WeightsError: The hub has no such model, it is gated, or the hub cannot be reached.
    """
    folder = _snapshot(rest, offline=False)
    if folder is None:
        raise WeightsError(
            f"hub:{rest} holds no weights that transformers can load (*.safetensors or pytorch_model*.bin)"
        )
    return folder


def _snapshot(rest: str, *, offline: bool) -> Path | None:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError, RepositoryNotFoundError

    from nines.models.weights import weight_files

    name, revision = split_revision(rest)
    for parameters in _PARAMETERS:
        try:
            folder = Path(
                snapshot_download(
                    name,
                    revision=revision,
                    allow_patterns=[*_DESCRIPTION, *parameters],
                    ignore_patterns=["*/*"],
                    local_files_only=offline,
                )
            )
        except LocalEntryNotFoundError as error:
            if offline:
                return None
            raise WeightsError(
                f"the hub cannot be reached for {name}; without a network, run `nines weights fetch hub:{rest}` "
                "on a machine that has one and copy its hub cache ($HF_HOME)"
            ) from error
        except RepositoryNotFoundError as error:
            raise WeightsError(
                f"the hub has no model {name!r} that you may see (misspelt, private, or gated)"
            ) from error
        except (HfHubHTTPError, OSError, ValueError) as error:
            raise WeightsError(f"cannot fetch hub:{rest}: {str(error).splitlines()[0]}") from error
        if weight_files(folder):
            return folder
    return None
