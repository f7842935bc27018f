import json
import math
import subprocess
import sys

import generate_vs_torch
import pytest
from binaries import ROOT
from flax import nnx

from pretrainjax.models.gpt import GPT


def test_first_tokens_must_be_equal():
  same = generate_vs_torch.check_same
  same([[1, 2, 3]], [[1, 2, 3]], 3)
  same([[1, 2, 3]], [[1, 2, 4]], 2)
  with pytest.raises(SystemExit, match="prompt 1: tokens differ from number 3 on"):
    same([[1, 2, 3], [1, 2, 3]], [[1, 2, 3], [1, 2, 4]], 3)


def test_the_floor_reads_the_matrices_of_the_model_once():
  size = generate_vs_torch.SIZES["tiny"]
  model = nnx.eval_shape(
    lambda: GPT(
      vocab_size=size.vocab,
      max_length=size.length,
      embed_dim=size.width,
      num_layers=size.layers,
      num_heads=size.heads,
      mlp_dim=4 * size.width,
      rngs=nnx.Rngs(0),
    )
  )
  kernels = (path_and_array for path_and_array in nnx.to_flat_state(nnx.state(model)))
  counted = sum(
    math.prod(array.shape) for path, array in kernels if path[-1] in ("kernel", "token_embedding")
  )
  assert size.weight_bytes == 4 * counted


@pytest.mark.slow
def test_tiny_sizes_run_and_agree(tmp_path):
  pytest.importorskip("torch")
  pytest.importorskip("transformers")
  flags = [f"--out={tmp_path}", "--sizes=tiny", "--tokens=20", "--rounds=1", "--seconds=0.01"]
  done = subprocess.run(
    [sys.executable, "benchmarks/generate_vs_torch.py", *flags, "--same=20", "--threads=1"],
    cwd=ROOT,
    capture_output=True,
    text=True,
    timeout=300,
  )
  assert done.returncode == 0, done.stderr[-3000:]
  report = json.loads((tmp_path / "generate_vs_torch.json").read_text())
  assert [r["batch"] for r in report["results"]] == [1, 8]
  assert all(
    r["floor"] > 0 and set(r["rate"]) == {"pretrainjax", "PyTorch"} for r in report["results"]
  )
  assert done.stdout.count("| tiny |") == 2
