"""Bytes kept for the backward pass, of losses for which they are known."""

import jax
import jax.numpy as jnp

from pretrainjax.benchmark.activations import kept_by_step, kept_for_backward
from pretrainjax.benchmark.batches import batch_shapes
from pretrainjax.benchmark.mesh_report import run_on_mesh
from pretrainjax.config.text import load_config

LAYERS, ROWS, WIDTH = 5, 8, 16


def scanned(weights, x, policy=None):
  def layer(x, w):
    return jnp.sin(x @ w), None

  layer = jax.checkpoint(layer) if policy else layer
  return jax.lax.scan(layer, x, weights)[0].sum()


def test_of_each_scanned_layer_what_its_gradient_reads():
  weights, x = jnp.ones((LAYERS, WIDTH, WIDTH)), jnp.ones((ROWS, WIDTH))
  one = ROWS * WIDTH * 4
  # The layer's input and the sine's derivative.
  assert kept_for_backward(scanned, weights, x) == 2 * LAYERS * one
  assert kept_for_backward(lambda w, x: scanned(w, x, "full"), weights, x) == LAYERS * one
  half = jax.tree.map(lambda a: a.astype(jnp.bfloat16), (weights, x))
  assert kept_for_backward(scanned, *half) == LAYERS * one


def test_arguments_are_not_kept():
  assert kept_for_backward(lambda w, x: jnp.sum(w * x), jnp.ones(4), jnp.ones(4)) == 0


def test_half_the_rows_need_half():
  config = load_config("configs/pretrain/image/mae_vit_fashion_mnist.py:smoke")
  mesh = {"data": -1, "fsdp": 1, "tensor": 1, "context": 1}
  kept = []
  for batch_size in (16, 32):
    config.data.batch_size = batch_size
    run = run_on_mesh(config, mesh)
    kept.append(kept_by_step(run, batch_shapes(run.data, config.objective)))
  assert 1.9 < kept[1] / kept[0] <= 2
