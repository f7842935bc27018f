"""Runs an exported program as a stranger does, with JAX and NumPy alone, none of this package.

    python -P reload.py FOLDER INPUTS.npz OUTPUTS.npz

INPUTS has arrays "CASE/NAME", OUTPUTS gets likewise the outputs of each case, in float32.
"""

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import ml_dtypes
import numpy as np
from jax import export

_DTYPES = {"F32": np.float32, "F16": np.float16, "BF16": ml_dtypes.bfloat16}


def main(argv: Sequence[str]) -> int:
  """Runs the program on all cases.

  Args:
    argv: the folder of the program, the file of its inputs, and that of its outputs.

  Returns:
    The exit status.
  """
  jax.config.update("jax_platforms", "cpu")
  folder, outputs = Path(argv[0]), {}
  signature = json.loads((folder / "signature.json").read_text())
  program = export.deserialize((folder / signature["program"]).read_bytes())
  weights = [_weights(folder)] if signature["weights"]["place"] == "beside" else []
  call = jax.jit(program.call)
  with np.load(argv[1]) as cases:
    for case in dict.fromkeys(name.split("/")[0] for name in cases):
      inputs = [cases[f"{case}/{one['name']}"] for one in signature["inputs"]]
      found: Mapping[str, Any] = call(*weights, *inputs)
      outputs |= {f"{case}/{name}": np.asarray(x, np.float32) for name, x in found.items()}
  np.savez(argv[2], **outputs)
  foreign = [name for name in sys.modules if name.partition(".")[0] in ("pretrainjax", "flax")]
  if foreign and __name__ == "__main__":
    print(f"imported {foreign[0]}", file=sys.stderr)
    return 1
  return 0


def _weights(folder: Path) -> dict[str, np.ndarray]:
  """The tensors of all files, by the format's own description; its library may not be here."""
  tensors = {}
  for path in sorted(folder.glob("*.safetensors")):
    content = np.memmap(path, np.uint8, mode="r")
    start = 8 + int.from_bytes(bytes(content[:8]), "little")
    header = json.loads(bytes(content[8:start]))
    header.pop("__metadata__", None)
    for name, one in header.items():
      first, last = (start + place for place in one["data_offsets"])
      tensors[name] = content[first:last].view(_DTYPES[one["dtype"]]).reshape(one["shape"])
  return tensors


if __name__ == "__main__":
  sys.exit(main(sys.argv[1:]))
