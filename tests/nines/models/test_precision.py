import sys
from pathlib import Path

import pytest

from nines.models.precision import cpu_has_native_bf16, default_precision


@pytest.mark.parametrize(
    ("text", "native"),
    [
        ("processor\t: 0\nflags\t\t: fpu avx2 avx512f avx512_bf16\n", True),
        ("flags\t\t: fpu avx2 amx_bf16 amx_tile\n", True),
        ("flags\t\t: fpu avx2 avx512f\n", False),
        ("Features\t: fp asimd sve bf16 i8mm\n", True),
        ("Features\t: fp asimd\n", False),
        ("model name\t: avx512_bf16\n", False),
        ("", False),
    ],
)
def test_the_processors_flags_decide(text: str, native: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "linux")
    (tmp_path / "cpuinfo").write_text(text)
    assert cpu_has_native_bf16(tmp_path / "cpuinfo") is native


def test_where_nothing_is_known_fp32_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert not cpu_has_native_bf16(tmp_path / "absent")
    monkeypatch.setattr(sys, "platform", "darwin")
    assert not cpu_has_native_bf16()
    assert default_precision("cpu") == "32-true"
    assert default_precision("mps") == "32-true"


def test_this_machine_agrees_with_torch() -> None:
    import torch

    known = torch.cpu.get_capabilities()
    if not sys.platform.startswith("linux") or "avx512_bf16" not in known:
        pytest.skip("torch tells of bf16 on x86 under Linux only")
    assert cpu_has_native_bf16() == bool(known["avx512_bf16"] or known.get("amx_bf16"))
    assert default_precision("cpu") == ("bf16-mixed" if cpu_has_native_bf16() else "32-true")
