import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import simulated

from pretrainjax.losses import ring


def _plain(anchors, candidates, excluded):
  logits = anchors @ candidates.T
  hidden = jnp.arange(len(candidates))[None] == excluded[:, None]
  return jax.nn.logsumexp(jnp.where(hidden, -jnp.inf, logits), axis=1)


@pytest.fixture
def drawn():
  rng = np.random.default_rng(0)
  anchors, candidates = (jnp.asarray(rng.normal(size=(n, 5)), jnp.float32) for n in (12, 8))
  return anchors, candidates, jnp.asarray(rng.integers(-1, 8, 12))


@pytest.mark.parametrize("most", [2**24, 24, 8])
def test_it_is_the_plain_sum_and_so_are_its_gradients(drawn, monkeypatch, most):
  monkeypatch.setattr(ring, "_MAX_LOGITS", most)  # 1, 4 and 12 parts
  anchors, candidates, excluded = drawn
  weights = jnp.linspace(-1, 2, 12)

  def total(fn):
    return jax.value_and_grad(lambda a, c: jnp.vdot(weights, fn(a, c)), argnums=(0, 1))

  def ours(a, c):
    return ring.score_candidates(a, c, labels=excluded + 1, excluded=excluded).log_total

  expected = total(lambda a, c: _plain(a, c, excluded))(anchors, candidates)
  found = total(ours)(anchors, candidates)
  jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, rtol=1e-5, atol=1e-6), found, expected)


def test_the_label_must_be_the_highest(drawn):
  anchors, candidates, excluded = drawn
  logits = np.array(anchors @ candidates.T)
  logits[np.arange(8)[None] == np.asarray(excluded)[:, None]] = -np.inf
  best = jnp.asarray(logits.argmax(axis=1))
  right = ring.score_candidates(anchors, candidates, labels=best, excluded=excluded).correct
  wrong = ring.score_candidates(
    anchors, candidates, labels=(best + 1) % 8, excluded=excluded
  ).correct
  np.testing.assert_array_equal(right, 1)
  np.testing.assert_array_equal(wrong, 0)


_PROGRAM = """
import json
import jax, jax.numpy as jnp, numpy as np
from jax.sharding import AxisType, NamedSharding, PartitionSpec as P
from pretrainjax.losses.contrastive import compare_views, compare_pairs, uniformity
from pretrainjax.train.mesh import Axes

def loss(views):
  pairs = compare_pairs(views[:, 0], views[:, 1], temperature=0.3, negatives=views[:, 0] * 0.5 + 1)
  both = compare_views(views, temperature=0.2)
  spread = uniformity(views[:, 0] / jnp.linalg.norm(views[:, 0], axis=1, keepdims=True))
  return pairs.loss.mean() + both.loss.mean() + spread, (pairs.correct.mean(), both.correct.mean())

def draw(batch_size, width=16):
  return np.random.default_rng(0).normal(size=(batch_size, 2, width)).astype(np.float32)

def on(mesh, views):
  def step(views):
    with jax.sharding.use_abstract_mesh(mesh.abstract_mesh):
      return jax.value_and_grad(loss, has_aux=True)(views)
  rows = NamedSharding(mesh, P(("data", "fsdp")))
  return jax.jit(step, in_shardings=rows, out_shardings=(NamedSharding(mesh, P()), rows)), rows

views = draw(32)
expected = jax.jit(jax.value_and_grad(loss, has_aux=True))(views)
for axes in (Axes(), Axes(fsdp=4), Axes(data=2, fsdp=2, tensor=2)):
  fn, rows = on(axes.build(), views)
  found = fn(jax.device_put(views, rows))
  jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, rtol=1e-4, atol=1e-6), found, expected)

# As many rows a device, twice the devices: what is held at once stays.
def temporaries(devices):
  mesh = jax.make_mesh((devices, 1, 1, 1), ("data", "fsdp", "tensor", "context"),
                       axis_types=(AxisType.Auto,) * 4, devices=jax.devices()[:devices])
  fn, rows = on(mesh, None)
  shape = jax.ShapeDtypeStruct((256 * devices, 2, 16), jnp.float32)
  return fn.lower(shape).compile().memory_analysis().temp_size_in_bytes
print(json.dumps({n: temporaries(n) for n in (2, 4, 8)}))
"""


def test_every_mesh_sees_everybody_and_memory_does_not_grow_with_devices():
  held = json.loads(simulated.run_on_devices("-c", _PROGRAM).splitlines()[-1])
  assert held["8"] <= held["2"] * 1.05, held
