import json
import subprocess
import sys

import gpu_vs_torch
import pytest
from binaries import ROOT

OURS = ("pretrainjax, cudnn", "pretrainjax, xla")


def about(fused, **changes):
  return {"fused_attention": fused, "num_parameters": 1, "peak_bytes": 2e9} | changes


def test_a_step_with_another_attention_than_its_name_says_is_refused():
  good = {OURS[0]: about(24), OURS[1]: about(0), "PyTorch compiled": {"attention": "sdpa"}}
  gpu_vs_torch.check_kernels(good)
  for side, answers in (
    (OURS[0], about(0)),
    (OURS[1], about(24)),
    ("PyTorch compiled", {"attention": "eager"}),
  ):
    with pytest.raises(SystemExit, match=side):
      gpu_vs_torch.check_kernels(good | {side: answers})


def test_tiny_stands_for_all_tiny_sizes_and_nothing_for_the_others():
  tiny = gpu_vs_torch.chosen(["tiny"])
  assert len(tiny) == 3 and all(name.startswith("tiny") for name in tiny)
  assert gpu_vs_torch.chosen(["tiny GPT", "tiny"]) == ["tiny GPT", "tiny MAE", "tiny BERT"]
  assert not set(gpu_vs_torch.chosen([])) & set(tiny)


def test_the_table_has_medians_ratios_and_the_share_of_the_peak():
  result = {
    "size": "X",
    "batch": 7,
    "flops": 3e9,
    "seconds": {OURS[0]: [0.01, 0.02, 0.06], "PyTorch compiled": [0.04, 0.04, 0.04]},
    "ratios": {OURS[0]: (0.5, 0.25, 1.5)},
    "about": {
      OURS[0]: {"peak_bytes": 2e9, "compile_seconds": 9},
      "PyTorch compiled": {"peak_bytes": 3e9, "compile_seconds": 30},
    },
  }
  lines = gpu_vs_torch.table([result], peak=1e12)
  assert lines[2:] == [
    "| X | 7 | pretrainjax, cudnn | 20.0 | 0.50 (0.25 to 1.50) | 15.0% | 2.00 | 9.0 |",
    "| X | 7 | PyTorch compiled | 40.0 |  | 7.5% | 3.00 | 30.0 |",
  ]
  assert "15.0%" not in "".join(gpu_vs_torch.table([result], peak=None))


@pytest.mark.slow
def test_tiny_sizes_run_from_end_to_end(tmp_path):
  pytest.importorskip("torch")
  pytest.importorskip("transformers")
  flags = [f"--out={tmp_path}", "--sizes=tiny", "--rounds=1", "--seconds=0.01"]
  done = subprocess.run(
    [sys.executable, "benchmarks/gpu_vs_torch.py", *flags],
    cwd=ROOT,
    capture_output=True,
    text=True,
    timeout=900,
  )
  assert done.returncode == 0, done.stderr[-3000:]
  report = json.loads((tmp_path / "gpu_vs_torch.json").read_text())
  assert [r["size"] for r in report["results"]] == gpu_vs_torch.chosen(["tiny"])
  for result in report["results"]:
    assert set(result["seconds"]) == {
      *(f"pretrainjax, {kernel}" for kernel in gpu_vs_torch.KERNELS[report["machine"]["backend"]]),
      "PyTorch compiled",
    }
    for side in result["seconds"]:
      assert f"| {result['size']} | {result['batch']} | {side} |" in done.stdout
