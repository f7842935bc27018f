"""Counting operations, and the peaks of chips."""

import jax
import jax.numpy as jnp
import pytest

from pretrainjax.train import flops
from pretrainjax.train.flops import count_flops, model_flops_utilization, peak_flops


@pytest.mark.parametrize(
  "kind, teraflops",
  [
    ("NVIDIA H100 80GB HBM3", 989),
    ("NVIDIA H100 PCIe", 756),
    ("NVIDIA H100 NVL", 835),
    ("NVIDIA H200", 989),
    ("NVIDIA GH200 480GB", 989),
    ("NVIDIA A100-SXM4-80GB", 312),
    ("NVIDIA A10", 125),
    ("NVIDIA A10G", 70),
    ("NVIDIA L40S", 362),
    ("NVIDIA L4", 121),
    ("Tesla V100-SXM2-16GB", 125),
    ("Tesla V100-PCIE-16GB", 112),
    ("NVIDIA GeForce RTX 4090", 165.2),
    ("TPU v3", 61.5),
    ("TPU v4", 275),
    ("TPU v5 lite", 197),
    ("TPU v5", 459),
    ("TPU v5p", 459),
    ("TPU v6 lite", 918),
  ],
)
def test_peaks(kind, teraflops):
  assert peak_flops(kind) == pytest.approx(teraflops * 1e12)


@pytest.mark.parametrize(
  "kind", ["cpu", "NVIDIA A100-SXM4-40GB MIG 1g.5gb", "NVIDIA GeForce RTX 4090 Laptop GPU", "TPU7x"]
)
def test_unknown_peaks(kind):
  assert peak_flops(kind) is None


def test_utilization(monkeypatch):
  assert model_flops_utilization(1e9, 0.1) is None, "no peak is known for a CPU"
  monkeypatch.setattr(flops, "peak_flops", lambda kind: 1e12)
  assert model_flops_utilization(1e11, 0.5) == pytest.approx(0.2)
  assert model_flops_utilization(None, 0.5) is None
  assert model_flops_utilization(1e11, None) is None


def _scanned(weights, x):
  return jax.lax.scan(lambda x, w: (jnp.tanh(x @ w), None), x, weights)[0].sum()


@pytest.mark.parametrize("num_layers", [1, 5])
def test_scanned_layers_count_each(num_layers):
  weights, x = jnp.ones((num_layers, 8, 8)), jnp.ones((4, 8))
  forward = num_layers * 2 * 4 * 8 * 8
  assert count_flops(_scanned, weights, x) == forward
  assert count_flops(jax.jit(_scanned), weights, x) == forward
  assert count_flops(jax.grad(_scanned, argnums=(0, 1)), weights, x) == 3 * forward


def test_remat_counts_again():
  weights, x = jnp.ones((3, 8, 8)), jnp.ones((4, 8))

  def scanned(weights, x):
    layer = jax.checkpoint(lambda x, w: (jnp.tanh(x @ w), None))
    return jax.lax.scan(layer, x, weights)[0].sum()

  both = (0, 1)
  forward = count_flops(scanned, weights, x)
  assert count_flops(jax.grad(scanned, both), weights, x) == 4 * forward


def test_batched_product_and_convolution():
  a, b = jnp.ones((2, 3, 4, 5)), jnp.ones((2, 3, 5, 6))
  assert count_flops(jnp.matmul, a, b) == 2 * (2 * 3) * 4 * 5 * 6

  image, kernel = jnp.ones((2, 8, 8, 3)), jnp.ones((3, 3, 3, 16))

  def convolve(image, kernel, stride=1):
    numbers = ("NHWC", "HWIO", "NHWC")
    return jax.lax.conv_general_dilated(
      image, kernel, (stride, stride), "SAME", dimension_numbers=numbers
    )

  one = 2 * 2 * 8 * 8 * 16 * 3 * 3 * 3
  assert count_flops(convolve, image, kernel) == one
  # A transposed convolution multiplies no inserted zeros.
  strided = count_flops(lambda i, k: convolve(i, k, 2), image, kernel)
  assert strided == one / 4
  both = count_flops(jax.grad(lambda i, k: convolve(i, k, 2).sum(), (0, 1)), image, kernel)
  assert 2 * strided <= both <= 4 * strided


def test_pmap_counts_all_devices():
  weights, x = jnp.ones((1, 3, 8, 8)), jnp.ones((1, 4, 8))
  assert count_flops(jax.pmap(_scanned), weights, x) == 3 * 2 * 4 * 8 * 8


def test_branches_count_the_dearest():
  x = jnp.ones((4, 4))

  def branch(x):
    return jax.lax.cond(x[0, 0] > 0, lambda x: x @ x @ x, lambda x: x, x)

  assert count_flops(branch, x) == 2 * 2 * 4**3


def test_fused_attention_is_counted():
  queries = (2, 16, 3, 8)  # BTNH
  keys = (2, 10, 3, 8)
  forward = flops._count_attention("dot_product_attention_fwd", [queries, keys], 0)
  assert forward == 2 * 2 * 2 * 3 * 16 * 10 * 8
  swapped = [(2, 3, 16, 8), (2, 3, 10, 8)]  # BNTH
  assert flops._count_attention("dot_product_attention_fwd", swapped, 1) == forward
  assert flops._count_attention("dot_product_attention_bwd", swapped, 1) == 2.5 * forward
