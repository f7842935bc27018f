import json
import subprocess
import sys

import pytest
from binaries import ROOT


@pytest.mark.slow
def test_tiny_sizes_run_and_are_the_same_models(tmp_path):
  pytest.importorskip("torch")
  pytest.importorskip("transformers")
  flags = [f"--out={tmp_path}", "--sizes=tiny", "--rounds=1", "--seconds=0.01"]
  done = subprocess.run(
    [sys.executable, "benchmarks/wav2vec2_vs_torch.py", *flags],
    cwd=ROOT,
    capture_output=True,
    text=True,
    timeout=300,
  )
  assert done.returncode == 0, done.stderr[-3000:]
  (result,) = json.loads((tmp_path / "wav2vec2_vs_torch.json").read_text())["results"]
  counts = {side["num_parameters"] for side in result["about"].values()}
  assert len(counts) == 1 and counts.pop() > 0
  assert result["ratio"] > 0 and "| tiny | 2 |" in done.stdout
