import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from pretrainjax.models.heads import CTCHead, Head, Projector

X = jax.random.normal(jax.random.key(0), (16, 6)) * 3 + 1


def num_params(module):
  return sum(leaf.size for leaf in jax.tree.leaves(nnx.state(module, nnx.Param)))


def test_head_starts_at_zero_unless_told():
  assert (Head(in_dim=6, num_classes=4, rngs=nnx.Rngs(0))(X) == 0).all()
  head = Head(in_dim=400, num_classes=50, init_std=0.01, rngs=nnx.Rngs(0))
  kernel = head.classifier.kernel[...]
  np.testing.assert_allclose(kernel.std(), 0.01, rtol=0.02)
  assert (head.classifier.bias[...] == 0).all()


def test_batch_norm_before_the_classifier_has_no_parameters():
  head = Head(in_dim=6, num_classes=4, batch_norm=True, rngs=nnx.Rngs(0))
  assert num_params(head) == 6 * 4 + 4
  head.classifier.kernel[...] = jnp.eye(6, 4)
  logits = head(X, deterministic=False)
  np.testing.assert_allclose(logits.mean(axis=0), 0, atol=1e-5)
  np.testing.assert_allclose(logits.std(axis=0), 1, atol=1e-3)


def test_head_gives_float32_for_bfloat16():
  head = Head(in_dim=6, num_classes=4, init_std=0.02, rngs=nnx.Rngs(0))
  assert head(X.astype(jnp.bfloat16)).dtype == jnp.float32


def test_head_dropout():
  head = Head(in_dim=6, num_classes=4, init_std=1.0, dropout=0.5, rngs=nnx.Rngs(0))
  np.testing.assert_array_equal(head(X), head(X))
  assert (head(X) != head(X, deterministic=False, rngs=nnx.Rngs(0))).any()


def test_hidden_layer_equals_robertas_head():
  head = Head(in_dim=6, num_classes=4, hidden_dim=5, init_std=0.5, rngs=nnx.Rngs(0))
  hidden = np.tanh(X @ head.hidden.kernel[...])
  np.testing.assert_allclose(head(X), hidden @ head.classifier.kernel[...], atol=1e-5)
  dropped = Head(in_dim=6, num_classes=4, hidden_dim=6, dropout=0.5, init_std=1.0, rngs=nnx.Rngs(0))
  dropped.hidden.kernel[...] = jnp.zeros((6, 6))
  dropped.hidden.bias[...] = jnp.ones(6)
  # Nothing of the input is left: what differs was dropped after the hidden layer.
  assert (dropped(X) != dropped(X, deterministic=False, rngs=nnx.Rngs(0))).any()


def test_head_takes_tokens_as_it_takes_pooled_features():
  head = Head(
    in_dim=6, num_classes=4, hidden_dim=5, activation="gelu", init_std=0.5, rngs=nnx.Rngs(0)
  )
  tokens = X.reshape(2, 8, 6)
  np.testing.assert_allclose(head(tokens).reshape(16, 4), head(X), atol=1e-6)
  assert head(tokens, deterministic=False).shape == (2, 8, 4)


def test_simclr_projector():
  projector = Projector(in_dim=6, hidden_dim=10, out_dim=3, rngs=nnx.Rngs(0))
  # Linear without bias, BatchNorm, ReLU; then linear with bias.
  assert num_params(projector) == 6 * 10 + 2 * 10 + 10 * 3 + 3
  hidden = X @ projector.linear0.kernel[...]
  hidden = (hidden - hidden.mean(0, keepdims=True)) / jnp.sqrt(hidden.var(0, keepdims=True) + 1e-5)
  expected = jax.nn.relu(hidden) @ projector.linear1.kernel[...]
  np.testing.assert_allclose(projector(X, deterministic=False), expected, atol=1e-4)


def test_last_batch_norm_standardises_the_result():
  projector = Projector(
    in_dim=6, hidden_dim=10, out_dim=3, num_layers=3, last_batch_norm=True, rngs=nnx.Rngs(0)
  )
  y = projector(X, deterministic=False)
  np.testing.assert_allclose(y.mean(axis=0), 0, atol=1e-5)
  np.testing.assert_allclose(y.std(axis=0), 1, atol=1e-3)
  assert projector.norm2.bias is None


def test_without_batch_norm_rows_are_independent():
  projector = Projector(in_dim=6, hidden_dim=10, out_dim=3, batch_norm=False, rngs=nnx.Rngs(0))
  np.testing.assert_allclose(
    projector(X[:2], deterministic=False), projector(X, deterministic=False)[:2], atol=1e-6
  )


def test_mistakes_are_named():
  with pytest.raises(ValueError, match="num_layers=0"):
    Projector(in_dim=6, num_layers=0, rngs=nnx.Rngs(0))
  with pytest.raises(ValueError, match="hidden_dim=0"):
    Head(in_dim=6, num_classes=2, hidden_dim=0, rngs=nnx.Rngs(0))
  with pytest.raises(ValueError, match="num_classes=0"):
    Head(in_dim=6, num_classes=0, rngs=nnx.Rngs(0))
  with pytest.raises(ValueError, match=r"dropout=1.0: expected in \[0, 1\)"):
    Head(in_dim=6, num_classes=2, dropout=1.0, rngs=nnx.Rngs(0))


def test_scores_of_labels_are_of_each_frame():
  head = CTCHead(in_dim=4, vocab_size=6, blank=5, dropout=0.5, rngs=nnx.Rngs(0))
  tokens = jnp.ones((2, 3, 4), jnp.bfloat16)
  assert head(tokens).shape == (2, 3, 6) and head(tokens).dtype == jnp.float32
  assert not np.allclose(head(tokens, deterministic=False, rngs=nnx.Rngs(0)), head(tokens))
  with pytest.raises(ValueError, match="blank=6: expected below vocab_size=6"):
    CTCHead(in_dim=4, vocab_size=6, blank=6, rngs=nnx.Rngs(0))
