"""The wheel alone, in an empty folder: configs are found by name, copied out, and trained."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import synthetic

ROOT = Path(__file__).parents[2]
# Runs the console script on what the wheel holds; the checkout is nowhere on the path.
PROGRAM = """
import importlib.util, os, sys
sys.path = [p for p in sys.path if p and not os.path.isdir(os.path.join(p, "pretrainjax"))]
assert importlib.util.find_spec("pretrainjax") is None
sys.path.insert(0, os.environ["SITE"])
assert importlib.util.find_spec("configs") is None
from pretrainjax import __main__, command
assert command.__file__.startswith(os.environ["SITE"])
sys.argv[0] = "pretrainjax"
__main__.script()
"""

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Path:
  """A folder of packages into which the wheel is unpacked."""
  pytest.importorskip("build")
  folder = tmp_path_factory.mktemp("wheel")
  build = [sys.executable, "-m", "build", "--wheel", "--outdir", str(folder / "dist"), str(ROOT)]
  subprocess.run(build, check=True, capture_output=True, cwd=folder)
  (wheel,) = (folder / "dist").glob("pretrainjax-*.whl")
  zipfile.ZipFile(wheel).extractall(folder / "site")
  return folder / "site"


def run(site: Path, folder: Path, *arguments: str) -> subprocess.CompletedProcess:
  folder.mkdir(exist_ok=True)
  environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"} | {"SITE": str(site)}
  command = [sys.executable, "-c", PROGRAM, *arguments]
  return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)


def test_holds_the_package_and_the_configs_in_it(site):
  assert {p.name for p in site.iterdir() if not p.name.endswith(".dist-info")} == {"pretrainjax"}
  there, shipped = ROOT / "configs", site / "pretrainjax" / "shipped_configs"
  files = {p.relative_to(there) for p in there.rglob("*.py")}
  assert {p.relative_to(shipped) for p in shipped.rglob("*") if p.is_file()} == files


def test_configs_are_found_by_name(site, tmp_path):
  listed = run(site, tmp_path, "configs", "gpt", "state")
  assert listed.returncode == 0 and "gpt_sotu" in listed.stdout, listed.stderr
  shown = run(site, tmp_path, "config", "text/gpt_sotu:smoke", "--config.seed=3")
  assert shown.returncode == 0 and "* seed = 3  (was 0)" in shown.stdout, shown.stderr
  assert str(site / "pretrainjax/shipped_configs/pretrain/text/gpt_sotu.py") in shown.stdout
  missed = run(site, tmp_path, "pretrain", "--config=gpt_stou", "--workdir=run")
  assert missed.returncode == 2 and "did you mean 'gpt_sotu'?" in missed.stderr
  assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("copied", [False, True], ids=["by name", "a copy"])
def test_a_run_needs_nothing_else(site, tmp_path, copied):
  synthetic.prepare("fashion_mnist", tmp_path / "data")
  reference = "mae_vit_fashion_mnist:smoke"
  if copied:
    made = run(site, tmp_path / "here", "config", reference, "--copy=mine.py")
    assert made.returncode == 0, made.stderr
    reference = "mine.py:smoke"
  places = (f"--config={reference}", "--workdir=run", f"--data_dir={tmp_path / 'data'}")
  trained = run(site, tmp_path / "here", "pretrain", *places)
  assert trained.returncode == 0, trained.stderr
  assert (tmp_path / "here/run/checkpoints/2").is_dir()
  evaluated = run(site, tmp_path / "here", "evaluate", "--config=fashion_mnist:smoke", *places[1:])
  assert evaluated.returncode == 0 and "linear_probe" in evaluated.stdout, evaluated.stderr
