"""Lists what a visit needs beside what the machine has, and how to take it along.

  python benchmarks/visit/wheels.py            # names, versions, sizes; then the command
  python benchmarks/visit/wheels.py --have jax flax optax orbax-checkpoint torch transformers tqdm

What our side imports is found by importing it; what is on the machine already is --have, with all
that these require. The rest must be pure Python, so that a folder made here by `pip --target`
serves any machine: `PYTHONPATH=DIR python benchmarks/gpu_visit.py ...`.
"""

import argparse
import importlib.metadata as metadata
import json
import re
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

BENCHMARKS = Path(__file__).parents[1]
HAVE = ("jax", "flax", "optax", "orbax-checkpoint", "torch", "transformers")
# Imports what a process of a visit does on our side, and prints the names of all top-level modules.
_PROGRAM = """
import json, sys
sys.path[:0] = sys.argv[1:]
import sides
from visit import checks, kernels, models
import generate_vs_torch
from pretrainjax.generation import generate, sampling
from pretrainjax.train import flops, optimizer, parallel, state, step
for model in models.SMALL.values():
  models.objective_of(model, dtype="float32")
  models.optimizer_of(model)
print(json.dumps(sorted({name.partition(".")[0] for name in sys.modules})))
"""


class Wheel(NamedTuple):
  """A distribution that must travel.

  Attributes:
    name: and version, "beartype==0.23.1".
    kilobytes: of its files.
    is_pure: whether it has no compiled part.
  """

  name: str
  kilobytes: int
  is_pure: bool


def main() -> int:
  """Prints the list; returns 1 where something on it is not pure."""
  parser = argparse.ArgumentParser(
    description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
  )
  parser.add_argument("--have", nargs="+", default=list(HAVE), help="what the machine has")
  wheels = needed(parser.parse_args().have)
  for wheel in wheels:
    print(f"{wheel.name:32} {wheel.kilobytes:6} KB{'' if wheel.is_pure else '  NOT PURE'}")
  names = " ".join(f"'{wheel.name}'" for wheel in wheels)
  print(f"\npip install --no-deps --no-compile --target DIR {names}")
  return 0 if all(wheel.is_pure for wheel in wheels) else 1


def needed(have: Iterable[str]) -> list[Wheel]:
  """What our side of a visit imports and is neither in `have` nor required by it.

  Args:
    have: names of distributions.
  """
  places = [str(BENCHMARKS), str(BENCHMARKS.parent)]
  command = [sys.executable, "-c", _PROGRAM, *places]
  done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
  owners = metadata.packages_distributions()
  modules = json.loads(done.stdout.splitlines()[-1])
  used = {_canonical(name) for module in modules for name in owners.get(module, ())}
  return [_wheel(name) for name in sorted(used - closure(have) - {"pretrainjax"})]


def closure(names: Iterable[str]) -> set[str]:
  """Distributions with all that they require, as far as it is installed here; without extras."""
  found: set[str] = set()
  queue = [_canonical(name) for name in names]
  while queue:
    name = queue.pop()
    if name in found:
      continue
    found.add(name)
    try:
      required = metadata.requires(name) or []
    except metadata.PackageNotFoundError:
      continue
    queue += [_canonical(line) for line in required if "extra ==" not in line]
  return found


def _canonical(line: str) -> str:
  """The name in a requirement such as "etils[epath]>=1.0; python_version < '3.12'"."""
  match = re.match(r"[\w.\-]+", line)
  return re.sub(r"[-_.]+", "-", match[0]).lower() if match else ""


def _wheel(name: str) -> Wheel:
  files = [f for f in metadata.files(name) or [] if f.suffix != ".pyc"]
  size = sum(f.size or 0 for f in files)
  is_pure = not any(f.suffix in (".so", ".pyd", ".dylib") for f in files)
  return Wheel(f"{name}=={metadata.version(name)}", size // 1024, is_pure)


if __name__ == "__main__":
  sys.exit(main())
