"""Which precision pays on this machine: bf16 only where the processor multiplies it natively."""

from __future__ import annotations

import sys
from pathlib import Path

_FLAGS = frozenset({"avx512_bf16", "amx_bf16", "bf16", "svebf16"})


def cpu_has_native_bf16(cpuinfo: Path = Path("/proc/cpuinfo")) -> bool:
    """Whether the processor has bf16 dot products that torch uses; without them bf16 is emulated and slower than fp32.

    False on macOS and Windows: torch's builds for them do not route bf16 matrix products to such instructions.

    Args:
        cpuinfo: Where Linux describes the processor.
    """
    if not sys.platform.startswith("linux"):
        return False
    try:
        text = cpuinfo.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return False  # a sandbox that hides it; fp32 is always right
    for line in text.splitlines():
        name, _, flags = line.partition(":")
        if name.strip() in {"flags", "Features"}:
            return not _FLAGS.isdisjoint(flags.split())
    return False


def default_precision(accelerator: str) -> str:
    """The precision, in Lightning's words, that `precision=auto` stands for on "cpu", "cuda" or "mps"."""
    if accelerator == "cpu":
        return "bf16-mixed" if cpu_has_native_bf16() else "32-true"
    if accelerator in {"cuda", "gpu"}:
        import torch

        native = torch.cuda.is_available() and torch.cuda.is_bf16_supported(including_emulation=False)
        return "bf16-mixed" if native else "32-true"
    return "32-true"
