"""The benchmark sees the memory that reading takes, and every side is a program."""

import json
import sys

import weights_vs_transformers as benchmark


def test_memory_is_the_peak_over_what_imports_hold(tmp_path):
  work = "first = np.ones(4_000_000); del first; second = np.ones(1_000_000)"  # 32 MB, then 8
  program = benchmark._BEFORE.format(imports="import numpy as np", work=work)
  found = json.loads(benchmark.run(sys.executable, program, tmp_path, tmp_path))
  assert 31e6 <= found["bytes"] < 45e6 and 0 < found["seconds"] < 10


def test_sides_compile():
  for name, imports, work in benchmark.SIDES:
    compile(benchmark._BEFORE.format(imports=imports, work=work), name, "exec")
