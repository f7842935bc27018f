import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from jax import export

from pretrainjax.models.layers.attention import Attention, dot_product_attention, pick_kernel
from pretrainjax.models.layers.scope import Scope


def reference(query, key, value, valid=None):
  """By numpy, one head at a time."""
  out = np.empty(query.shape)
  for b, h in np.ndindex(query.shape[0], query.shape[2]):
    logits = query[b, :, h] @ key[b, :, h].T / np.sqrt(query.shape[-1])
    if valid is not None:
      logits = np.where(valid[b], logits, -np.inf)
    weights = np.exp(logits - logits.max(axis=1, keepdims=True))
    out[b, :, h] = weights / weights.sum(axis=1, keepdims=True) @ value[b, :, h]
  return out


def random_inputs(num_queries=5, num_keys=7):
  rng = np.random.default_rng(0)
  shapes = [(2, num_queries, 3, 4), (2, num_keys, 3, 4), (2, num_keys, 3, 4)]
  return [rng.normal(size=s).astype(np.float32) for s in shapes]


@pytest.mark.parametrize(
  ("kernel", "masked"),
  [("einsum", False), ("einsum", True), ("xla", False), ("xla", True), ("heads", False)],
)
def test_kernels_agree_with_numpy(kernel, masked):
  inputs = random_inputs()
  valid = np.arange(7) < np.array([[4], [7]]) if masked else None
  scope = Scope(valid=None if valid is None else jnp.asarray(valid))
  out = dot_product_attention(*map(jnp.asarray, inputs), scope=scope, kernel=kernel)
  np.testing.assert_allclose(out, reference(*inputs, valid), atol=1e-5)


def test_padding_does_not_matter():
  query, key, value = map(jnp.asarray, random_inputs())
  valid = jnp.arange(7)[None] < jnp.array([[4], [4]])
  padded = dot_product_attention(query, key, value, scope=Scope(valid=valid))
  np.testing.assert_allclose(
    padded, dot_product_attention(query, key[:, :4], value[:, :4]), atol=1e-6
  )


SEGMENTS = jnp.ones((2, 5), jnp.int32)


@pytest.mark.parametrize(
  "segments", [None, jnp.array([[1, 1, 2, 2, 0]] * 2)], ids=["plain", "packed"]
)
def test_cudnn_is_told_of_causality_and_of_all_else_by_a_mask(monkeypatch, segments):
  """The kernel runs on a GPU only, so what it is asked for is looked at."""
  asked = {}

  def kernel(query, key, value, **options):
    asked.update(options)
    return query

  monkeypatch.setattr(jax.nn, "dot_product_attention", kernel)
  inputs = [jnp.asarray(x) for x in random_inputs(num_keys=5)]
  scope = Scope(causal=True, segments=segments)
  dot_product_attention(*inputs, scope=scope, kernel="cudnn")
  assert asked["is_causal"] and asked["implementation"] == "cudnn"
  if segments is None:
    assert asked["mask"] is None
  else:
    same = segments[:, :, None] == segments[:, None, :]
    np.testing.assert_array_equal(asked["mask"][:, 0], same)


@pytest.mark.parametrize(
  ("backend", "dtype", "head_dim", "scope", "expected"),
  [
    ("cpu", "float32", 64, Scope(), "einsum"),
    ("cpu", "bfloat16", 64, Scope(segments=SEGMENTS), "einsum"),
    ("gpu", "bfloat16", 64, Scope(), "cudnn"),
    ("gpu", "bfloat16", 64, Scope(causal=True), "cudnn"),
    ("gpu", "float32", 64, Scope(), "xla"),
    ("gpu", "bfloat16", 60, Scope(), "xla"),
    ("gpu", "bfloat16", 256, Scope(), "xla"),
    ("gpu", "bfloat16", 64, Scope(segments=SEGMENTS), "xla"),
    ("gpu", "bfloat16", 64, Scope(window=3), "xla"),
    ("tpu", "bfloat16", 64, Scope(), "xla"),
  ],
)
def test_pick_kernel(backend, dtype, head_dim, scope, expected):
  assert pick_kernel(backend=backend, dtype=dtype, head_dim=head_dim, scope=scope) == expected


def test_long_sequences_on_a_cpu_go_head_by_head():
  cpu = {"backend": "cpu", "dtype": "float32", "head_dim": 64}
  assert pick_kernel(**cpu, scope=Scope(), num_logits=1500**2) == "heads"
  for scope in (Scope(causal=True), Scope(segments=SEGMENTS), Scope(window=3)):
    assert pick_kernel(**cpu, scope=scope, num_logits=1500**2) == "einsum"
  query, key, value = map(jnp.asarray, random_inputs())

  def total(kernel, *inputs):
    return jnp.sum(jnp.sin(dot_product_attention(*inputs, kernel=kernel)))

  for wrt in range(3):
    one, all_heads = (
      jax.grad(total, argnums=wrt + 1)(kernel, query, key, value) for kernel in ("heads", "einsum")
    )
    np.testing.assert_allclose(one, all_heads, atol=1e-6)


def test_programs_for_all_batch_sizes_have_all_heads_at_once():
  """Other devices than this CPU run what is exported, and a loop needs a number of turns."""
  (batch,) = export.symbolic_shape("b")
  x = jax.ShapeDtypeStruct((batch, 600, 1, 2), jnp.float32)
  exported = export.export(jax.jit(dot_product_attention))(x, x, x)
  assert "while" not in exported.mlir_module()
  whole = jax.ShapeDtypeStruct((2, 600, 1, 2), jnp.float32)
  assert "while" in jax.jit(dot_product_attention).lower(whole, whole, whole).as_text()


@pytest.mark.parametrize("heads", [4, 2])
def test_a_context_that_is_remembered_gives_what_the_call_gives(heads):
  attention = Attention(embed_dim=8, num_heads=4, num_kv_heads=heads, rngs=nnx.Rngs(0))
  rng = np.random.default_rng(0)
  x, context = (jnp.asarray(rng.normal(size=(2, n, 8)), jnp.float32) for n in (3, 5))
  valid = jnp.arange(5)[None] < jnp.array([[5], [2]])
  for scope in (Scope(), Scope(valid=valid)):
    expected = attention(x, context=context, scope=scope)
    found = attention.recall(x, attention.remember(context), valid=scope.valid)
    np.testing.assert_allclose(found, expected, atol=1e-6)


@pytest.mark.parametrize("heads", [6, 3, 1])
def test_kernels_agree_on_scopes_biases_and_grouped_heads(heads):
  rng = np.random.default_rng(0)
  query = jnp.asarray(rng.normal(size=(2, 5, 6, 4)), jnp.float32)
  key, value = (jnp.asarray(rng.normal(size=(2, 5, heads, 4)), jnp.float32) for _ in range(2))
  bias = jnp.asarray(rng.normal(size=(1, 6, 5, 5)), jnp.float32)
  segments = jnp.array([[1, 1, 2, 2, 2], [1, 1, 1, 0, 0]])
  scope = Scope(segments=segments, causal=True, window=3, bias=bias)
  ours, theirs = (
    dot_product_attention(query, key, value, scope=scope, scale=0.7, kernel=kernel)
    for kernel in ("einsum", "xla")
  )
  np.testing.assert_allclose(ours, theirs, atol=1e-5)
  repeated = [jnp.repeat(x, 6 // heads, axis=2) for x in (key, value)]
  wide = dot_product_attention(query, *repeated, scope=scope, scale=0.7)
  np.testing.assert_allclose(ours, wide, atol=1e-5)


def test_packed_documents_do_not_see_each_other():
  layer = Attention(embed_dim=12, num_heads=3, num_kv_heads=1, rngs=nnx.Rngs(0))
  x = jax.random.normal(jax.random.key(1), (1, 5, 12))
  packed = layer(x, scope=Scope(segments=jnp.array([[1, 1, 1, 2, 2]])))
  apart = jnp.concatenate([layer(x[:, :3]), layer(x[:, 3:])], axis=1)
  np.testing.assert_allclose(packed, apart, atol=1e-6)


def test_dropout_of_weights_keeps_their_mean():
  layer = Attention(embed_dim=4, num_heads=1, dropout=0.5, rngs=nnx.Rngs(0))
  x = jnp.broadcast_to(jax.random.normal(jax.random.key(1), (1, 3, 4)), (4000, 3, 4))
  dropped = layer(x, deterministic=False, rngs=nnx.Rngs(2))
  assert (dropped[0] != dropped[1]).any()
  np.testing.assert_allclose(dropped.mean(axis=0), layer(x[:1])[0], atol=0.05)


def test_self_attention_is_attention_to_itself():
  layer = Attention(embed_dim=12, num_heads=3, rngs=nnx.Rngs(0))
  x = jax.random.normal(jax.random.key(1), (2, 5, 12))
  np.testing.assert_allclose(layer(x), layer(x, context=x), atol=1e-6)


def test_attention_commutes_with_permutations_of_tokens():
  layer = Attention(embed_dim=12, num_heads=3, rngs=nnx.Rngs(0))
  x = jax.random.normal(jax.random.key(1), (2, 5, 12))
  order = jnp.array([3, 0, 4, 1, 2])
  np.testing.assert_allclose(layer(x[:, order]), layer(x)[:, order], atol=1e-6)


def test_bfloat16_stays_near_float32():
  inputs = [jnp.asarray(x) for x in random_inputs()]
  half = dot_product_attention(*(x.astype(jnp.bfloat16) for x in inputs))
  assert half.dtype == jnp.bfloat16
  np.testing.assert_allclose(
    half.astype(jnp.float32), dot_product_attention(*inputs), atol=0.05, rtol=0.05
  )


def test_heads_must_divide_the_width():
  with pytest.raises(ValueError, match="num_heads=5: expected a divisor of embed_dim=12"):
    Attention(embed_dim=12, num_heads=5, rngs=nnx.Rngs(0))


def test_kv_heads_must_divide_the_heads():
  with pytest.raises(ValueError, match="num_kv_heads=2: expected a divisor of num_heads=3"):
    Attention(embed_dim=12, num_heads=3, num_kv_heads=2, rngs=nnx.Rngs(0))
