"""What takes training steps imports nothing that reads data, draws or decodes.

So that steps run on a machine that has JAX, flax, optax and orbax and little else, and start fast.
"""

import subprocess
import sys

from binaries import ROOT

CORE = (
  "augment",
  "models",
  "losses",
  "objectives",
  "checkpoint",
  "generation",
  "workdir",
  "train",
  "convert",
)
ALSO = ("collectives", "config.objects", "config.text", "masking", "types")
HEAVY = ("tensorflow_datasets", "grain", "array_record", "matplotlib", "cv2", "tensorboardX")
# Imports all modules of the core while what is heavy cannot be imported.
PROGRAM = """
import importlib, pkgutil, sys
core, also, heavy = (set(argument.split(",")) for argument in sys.argv[1:])
class Refuse:
  def find_spec(self, name, path=None, target=None):
    if name.partition(".")[0] in heavy:
      raise ImportError(f"{name} is heavy")
sys.meta_path.insert(0, Refuse())
import pretrainjax
names = [f"pretrainjax.{name}" for name in also]
for module in pkgutil.walk_packages(pretrainjax.__path__, "pretrainjax."):
  if module.name.split(".")[1] in core:
    names.append(module.name)
for name in names:
  importlib.import_module(name)
print(len(names), "tokenizers" in sys.modules)
"""


def run(core, heavy=HEAVY):
  arguments = (",".join(core), ",".join(ALSO), ",".join(heavy))
  return subprocess.run(
    [sys.executable, "-c", PROGRAM, *arguments], cwd=ROOT, capture_output=True, text=True
  )


def test_the_core_imports_nothing_heavy():
  done = run(CORE)
  assert done.returncode == 0, done.stderr[-1000:]
  assert int(done.stdout.split()[0]) > 80  # modules


def test_the_check_sees_what_is_imported():
  done = run((*CORE, "data"))
  assert done.returncode == 1 and "is heavy" in done.stderr
