"""What is known of the machine."""

from __future__ import annotations

from pathlib import Path

import pytest

from project.engine.cli.machine import emulates_bf16

FLAGS = {
    "flags\t\t: fma avx avx2": True,
    "flags\t\t: avx2 avx512f avx512_bf16": False,
    "flags\t\t: amx_bf16 amx_tile": False,
    "Features\t: fp asimd i8mm bf16": False,
    "processor\t: 0": False,
}


@pytest.mark.parametrize("line", FLAGS)
def test_a_cpu_without_bfloat16_is_known(line: str, tmp_path: Path) -> None:
    (tmp_path / "cpuinfo").write_text(f"processor : 0\n{line}\n")
    assert emulates_bf16(tmp_path / "cpuinfo") == FLAGS[line]
    assert not emulates_bf16(tmp_path / "missing")
