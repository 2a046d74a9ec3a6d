"""What is known of the machine."""

from __future__ import annotations

import platform
from pathlib import Path

import pytest
import torch

from project.engine.cli.machine import emulates_bf16, keep_freed_memory

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


@pytest.mark.skipif(
    platform.libc_ver()[0] != "glibc", reason="only glibc hands memory back at once"
)
def test_the_memory_of_a_step_is_there_for_the_next_one() -> None:
    resource = pytest.importorskip("resource")
    keep_freed_memory()

    def new_pages() -> int:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        torch.zeros(25_000_000)  # 100 MB, 24,000 pages
        return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

    new_pages()
    assert new_pages() < 1000
