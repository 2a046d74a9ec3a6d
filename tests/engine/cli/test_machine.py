"""What is known of the machine."""

from __future__ import annotations

import platform
import subprocess
import sys
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


ROUNDS = """
import resource, torch
from project.engine.cli.machine import keep_freed_memory

keep_freed_memory()
fewest = 10**9
for _ in range(20):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    kept = [torch.zeros(size) for size in (12_000_000, 25_000_000, 9_000_000)]
    del kept
    fewest = min(fewest, resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
print(fewest)
"""


@pytest.mark.slow
@pytest.mark.skipif(
    platform.libc_ver()[0] != "glibc", reason="only glibc hands memory back at once"
)
def test_the_memory_of_a_step_is_there_for_the_next_one() -> None:
    """New pages in the best of some rounds, each of 184 MB, which are 45,000 pages."""
    done = subprocess.run([sys.executable, "-c", ROUNDS], capture_output=True, text=True)
    assert done.returncode == 0 and int(done.stdout) < 1000, done.stderr
