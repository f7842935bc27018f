"""One device, eight under jit, eight under pmap, and sharded parameters compute the same."""

import json

import numpy as np
import pytest
import simulated

from pretrainjax.errors import UserError
from pretrainjax.train.mesh import Axes
from pretrainjax.train.parallel import Parallel

_PROGRAM = """
import json, sys
import jax, jax.numpy as jnp, numpy as np, optax
import toy
from pretrainjax.checkpoint.fingerprint import fingerprint
from pretrainjax.objectives.split import abstract_split
from pretrainjax.train.mesh import Axes
from pretrainjax.train.parallel import Parallel
from pretrainjax.train.state import init_state
from pretrainjax.train.step import make_train_step

WIDTH = 16384  # large enough to be sharded
objective = toy.Toy(width=WIDTH)
tx = optax.adam(1e-3)
graphdef, _, _ = abstract_split(objective)
rate = optax.constant_schedule(1e-3)
step = make_train_step(objective, graphdef, tx, learning_rate=rate, total_steps=5)


def batch(i):
  rows = toy.batch(i)
  rows["y"] = np.tile(rows["x"], (1, WIDTH // 4))
  return rows


def train(parallel):
  state = parallel.make(lambda: init_state(objective, tx, seed=0, with_ema=False))
  bytes_here = sum(s.data.nbytes for l in jax.tree.leaves(state) for s in l.addressable_shards[:1])
  program = parallel.program(step, state)
  losses = []
  for i in range(5):
    state, metrics = program(state, parallel.put(batch(i)))
    losses.append(float(np.asarray(parallel.whole(metrics["loss"]))))
  whole = parallel.whole(state)
  sums = {k: float(jnp.sum(jnp.abs(v))) for k, v in
          {"kernel": whole.params["encoder"]["kernel"], "mean": whole.extras["mean"]}.items()}
  return {"losses": losses, "bytes": bytes_here, "copies": len(jax.devices()), **sums}


results = {}
for name, options in json.loads(sys.argv[1]).items():
  results[name] = train(Parallel(mode=options.pop("mode"), mesh=Axes(**options)))
print(json.dumps(results))
"""


def _run(devices: int, layouts: dict) -> dict:
  printed = simulated.run_on_devices("-c", _PROGRAM, json.dumps(layouts), num_devices=devices)
  return json.loads(printed.splitlines()[-1])


@pytest.fixture(scope="module")
def results():
  eight = {
    "jit": {"mode": "jit"},
    "pmap": {"mode": "pmap"},
    "fsdp": {"mode": "jit", "fsdp": 8},
    "both": {"mode": "jit", "data": 2, "fsdp": 4},
    "tensor": {"mode": "jit", "fsdp": 2, "tensor": 2, "context": 2},
  }
  return _run(8, eight) | _run(1, {"one": {"mode": "jit"}, "one_pmap": {"mode": "pmap"}})


@pytest.mark.parametrize("layout", ["jit", "pmap", "fsdp", "both", "tensor", "one_pmap"])
def test_every_layout_equals_one_device(results, layout):
  for key in ("losses", "kernel", "mean"):
    np.testing.assert_allclose(results[layout][key], results["one"][key], rtol=1e-5)


def test_sharded_parameters_take_less_room(results):
  assert results["fsdp"]["bytes"] < results["jit"]["bytes"] / 5
  assert results["both"]["bytes"] < results["jit"]["bytes"] / 2.5
  assert results["pmap"]["copies"] == 8


def test_pmap_has_no_other_axes():
  for name in ("fsdp", "tensor", "context"):
    with pytest.raises(ValueError, match=f"mesh.{name}=2 needs mode 'jit'"):
      Parallel(mode="pmap", mesh=Axes(**{name: 2}))


def test_batch_must_divide(monkeypatch):
  monkeypatch.setattr(Parallel, "num_shards", 8)
  Parallel().check_batch(16)
  with pytest.raises(
    UserError, match=r"found 20, expected a multiple of .* 8 devices \(remainder 4\).*16 or 24"
  ):
    Parallel().check_batch(20)


def test_one_process_loads_the_whole_batch():
  assert Parallel().share(24) == (0, 1)
