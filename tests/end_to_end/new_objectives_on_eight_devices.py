"""Run by test_new_objectives.py in a process of its own: steps of new objectives on devices.

Prints, for each objective and layout that the first argument names in JSON, each step's loss and
sums over what the student and the other variables (a teacher's among them) became.
"""

import json
import sys

import jax
import jax.numpy as jnp
import numpy as np
from new_objectives import NAMES, batch, config_of, run_of

STEPS = 3


def train(name: str, mode: str, **mesh: int) -> dict:
  config = config_of(name)
  config.parallel.mode = mode
  for axis, size in mesh.items():
    config.parallel.mesh[axis] = size
  run = run_of(name, config)
  state = run.parallel.make(run.init)
  program = run.parallel.program(run.step(), state)
  losses = []
  for i in range(STEPS):
    state, metrics = program(state, run.parallel.put(batch(name, i)))
    losses.append(float(np.asarray(run.parallel.whole(metrics["loss"]))))
  whole = run.parallel.whole(state)
  sums = {
    f"{kind}/{jax.tree_util.keystr(path, simple=True, separator='/')}": float(jnp.sum(jnp.abs(x)))
    for kind in ("params", "extras")
    for path, x in jax.tree.leaves_with_path(getattr(whole, kind))
  }
  return {"losses": losses, "sums": sums}


def main() -> int:
  found = {}
  for name in NAMES:
    for layout, options in json.loads(sys.argv[1]).items():
      found[f"{name}, {layout}"] = train(name, **options)
  print(json.dumps(found))
  return 0


if __name__ == "__main__":
  sys.exit(main())
