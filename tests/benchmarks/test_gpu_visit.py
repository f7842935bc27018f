"""A whole visit on a CPU: every part, with PyTorch beside it."""

import json
import os
import subprocess
import sys

import pytest
from binaries import ROOT

pytestmark = pytest.mark.parity


def run(*flags, cwd=ROOT):
  command = [sys.executable, str(ROOT / "benchmarks/gpu_visit.py"), *flags]
  return subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=900)


def test_every_part_of_a_tiny_visit(tmp_path):
  out = tmp_path / "out"
  done = run(f"--out={out}", "--sizes=tiny", "--minutes=10")
  assert done.returncode == 0, done.stdout + done.stderr[-3000:]
  found = json.loads((out / "visit.json").read_text())
  assert not found["failed"] and not found["left"]
  parts = [row["part"] for row in found["results"]]
  assert sorted(set(parts)) == ["checks", "generate", "profile", "steps", "sweep"]
  assert all(row["kept"] for row in found["results"] if row["part"] == "checks")
  steps = [row for row in found["results"] if row["part"] == "steps"]
  assert len(steps) == 2 and all(row["ratio"] > 0 and row["flops"] > 0 for row in steps)
  sweep = [row for row in found["results"] if row["part"] == "sweep"]
  assert [row["remat"] for row in sweep] == ["none", "dots", "full"]
  for title in ("Checks", "Steps", "Generate", "Profile", "Sweep"):
    assert f"## {title}" in done.stdout
  # The page is made where the docs lie.
  (tmp_path / "docs").mkdir()
  done = run(f"--report={out}", cwd=tmp_path)
  assert done.returncode == 0, done.stderr
  page = (tmp_path / "docs/results-gpu.md").read_text()
  assert page.startswith("# Results on GPUs") and "--sizes=tiny" in page
  assert all(f"## {title}" in page for title in ("Checks", "Steps", "Generate", "Profile", "Sweep"))


def test_a_visit_without_time_leaves_all_out_and_says_so(tmp_path):
  done = run(f"--out={tmp_path}", "--sizes=tiny", "--minutes=0")
  found = json.loads((tmp_path / "visit.json").read_text())
  assert not found["results"] and not found["failed"]
  assert [row["part"] for row in found["left"]] == list(dict.fromkeys(PARTS)), done.stderr
  assert "## Left out" in done.stdout


PARTS = ["checks", "steps", "generate", "profile", "sweep"]


def test_the_folder_must_be_named():
  done = run("--sizes=tiny")
  assert done.returncode == 2 and "--out: found nothing" in done.stderr
  assert "Traceback" not in done.stderr and os.path.isdir(ROOT)
