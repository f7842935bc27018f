"""Peak memory and seconds of reading and writing a model, beside transformers' own.

  python benchmarks/weights_vs_transformers.py --torch_python=.venv/bin/python

Has transformers make a random BertModel of that many layers (24: 1.34 GB as float32), and then,
each in a process of its own and in turns: `load_encoder`, `export` of `hf:FOLDER`,
and transformers' reading and writing. The memory is the peak of what is resident over what the
process held after its imports, as a part of the file's size; the time is without imports. Files
lie in the system's cache for all.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
_BEFORE = r"""
import json, re, sys, time
folder, out = sys.argv[1:3]
{imports}
def resident(name):
  with open("/proc/self/status") as file:
    return 1024 * int(re.search(name + r":\s+(\d+) kB", file.read())[1])
before, start = resident("VmRSS"), time.monotonic()
{work}
seconds = time.monotonic() - start
print(json.dumps({{"seconds": seconds, "bytes": resident("VmHWM") - before}}))
"""
_ENCODER = """
encoder = pj.load_encoder(f"hf:{folder}")
jax.block_until_ready(nnx.state(encoder))
"""
_JAX = (
  "import jax; from flax import nnx; import pretrainjax as pj; from pretrainjax import load_encoder"
)
_EXPORT = "assert main([f'--workdir=hf:{folder}', f'--out={out}']) == 0"
_READ = "model = BertModel.from_pretrained(folder, dtype=torch.float32)"
_SUMS = "sums = [float(p.detach().sum()) for p in model.parameters()]"
_TORCH = "import torch; from transformers import BertModel"
_FLOOR = (
  "size = sum(p.stat().st_size for p in Path(folder).iterdir()); np.empty(size, 'u1').fill(0)"
)
_NEW_FILE = """
with open(out, "xb") as file:
  for path in Path(folder).iterdir():
    data = path.read_bytes()
    file.write(data)
  file.flush()
  os.fsync(file.fileno())
"""
_NUMPY = "import os; from pathlib import Path; import numpy as np"
# (what, imports, work); sums ask for every number, as transformers maps the file. Arrays of our own
# cannot be had faster than new memory is filled, nor a file faster than its bytes are written.
SIDES = (
  ("floor: new memory, filled", _NUMPY, _FLOOR),
  ("load_encoder", _JAX, _ENCODER),
  ("transformers reads, all summed", _TORCH, f"{_READ}; {_SUMS}"),
  ("floor: read, written, synced", _NUMPY, _NEW_FILE),
  ("export", "from pretrainjax.export.command import main", _EXPORT),
  ("transformers reads and writes", _TORCH, f"{_READ}; model.save_pretrained(out)"),
)
_MAKE = """
import sys
from transformers import BertConfig, BertModel
sizes = dict(hidden_size=1024, num_attention_heads=16, intermediate_size=4096)
BertModel(BertConfig(num_hidden_layers=int(sys.argv[2]), **sizes)).save_pretrained(sys.argv[1])
"""


def main() -> None:
  """Prints one row a side."""
  parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
  parser.add_argument("--torch_python", default=sys.executable, help="that has transformers")
  parser.add_argument("--layers", type=int, default=24, help="of the model (24: 1.34 GB)")
  parser.add_argument("--repeats", type=int, default=7, help="of each side")
  parser.add_argument("--folder", help="for the files, instead of the system's temporary one")
  flags = parser.parse_args()
  with tempfile.TemporaryDirectory(prefix="weights_", dir=flags.folder) as temporary:
    model = Path(temporary) / "model"
    run(flags.torch_python, _MAKE, model, flags.layers)
    size = (model / "model.safetensors").stat().st_size
    print(f"{size / 1e9:.2f} GB of safetensors, {flags.repeats} turns")
    print(f"{'':<32} {'median s':>9} {'least s':>8} {'peak / size':>12}")
    for name, found in measured(flags, model).items():
      seconds = [row["seconds"] for row in found]
      middle = statistics.median(seconds)
      peak = statistics.median(row["bytes"] for row in found)
      print(f"{name:<32} {middle:>9.2f} {min(seconds):>8.2f} {peak / size:>12.3f}", flush=True)


def measured(flags: argparse.Namespace, model: Path) -> dict[str, list[dict]]:
  """What each side took, by its name; the sides take turns."""
  found: dict[str, list[dict]] = {name: [] for name, _, _ in SIDES}
  for turn in range(flags.repeats):
    for i, (name, imports, work) in enumerate(SIDES):
      python = flags.torch_python if imports == _TORCH else sys.executable
      program = _BEFORE.format(imports=imports, work=work)
      out = model.with_name(f"out_{i}_{turn}")
      found[name].append(json.loads(run(python, program, model, out).splitlines()[-1]))
      subprocess.run(["rm", "-rf", out], check=True)
  return found


def run(python: str, program: str, *arguments: object) -> str:
  """What a program printed that was given to Python; it must end well."""
  command = [python, "-c", program, *map(str, arguments)]
  return subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True).stdout


if __name__ == "__main__":
  main()
