"""What training puts on top of an encoder's pooled features."""

import jax
from flax import nnx
from jaxtyping import Array, Float

from pretrainjax.models.layers.drop import check_rates
from pretrainjax.models.layers.drop import dropout as drop_values
from pretrainjax.models.layers.norm import BatchNorm


class Head(nnx.Module):
  """A linear classifier.

  Args:
    in_dim: width of the features, D.
    num_classes: K.
    init_std: of the normal distribution that the kernel starts from; 0 starts from zeros. (MAE's
      code cuts it off at +-2, which is never reached.)
    batch_norm: a BatchNorm without scale and shift before the classifier, as MAE's linear
      probing has it (arXiv 2111.06377, appendix A.1).
    dropout: rate before the classifier, in [0, 1).
    rngs: keys for the initial parameters.
  """

  def __init__(
    self,
    *,
    in_dim: int,
    num_classes: int,
    init_std: float = 0.0,
    batch_norm: bool = False,
    dropout: float = 0.0,
    rngs: nnx.Rngs,
  ):
    if num_classes < 1:
      raise ValueError(f"num_classes={num_classes}: expected at least 1")
    check_rates(dropout=dropout)
    self.dropout = dropout
    norm = BatchNorm(num_features=in_dim, eps=1e-6, scale=False, bias=False)
    self.norm = norm if batch_norm else None
    init = nnx.initializers.zeros
    if init_std > 0:
      init = nnx.initializers.normal(init_std)
    self.classifier = nnx.Linear(in_dim, num_classes, kernel_init=init, rngs=rngs)

  def __call__(
    self,
    features: Float[Array, "B D"],
    *,
    deterministic: bool = True,
    rngs: nnx.Rngs | None = None,
  ) -> Float[Array, "B K"]:
    """Logits in float32; deterministic=False updates BatchNorm and switches dropout on."""
    x = features.astype("float32")
    if self.norm is not None:
      x = self.norm(x, deterministic=deterministic)
    x = drop_values(x, rate=self.dropout, deterministic=deterministic, rngs=rngs)
    return self.classifier(x)


class Projector(nnx.Module):
  """A perceptron from features to the space of a contrastive loss.

  Each layer but the last is linear, BatchNorm, ReLU.

  Args:
    in_dim: width of the features, D.
    hidden_dim: width between.
    out_dim: width of the result.
    num_layers: linear layers, at least 1.
    batch_norm: False leaves BatchNorm out (and gives linear layers a bias).
    last_batch_norm: BatchNorm, without shift, also after the last layer.
    dtype: of the computation, "float32" or "bfloat16"; parameters are float32.
    rngs: keys for the initial parameters.

  Reference: SimCLR, arXiv 2002.05709, section 4.2 and appendix B (2048, then 128).
  """

  def __init__(
    self,
    *,
    in_dim: int,
    hidden_dim: int = 2048,
    out_dim: int = 128,
    num_layers: int = 2,
    batch_norm: bool = True,
    last_batch_norm: bool = False,
    dtype: str = "float32",
    rngs: nnx.Rngs,
  ):
    if num_layers < 1:
      raise ValueError(f"num_layers={num_layers}: expected at least 1")
    self.num_layers = num_layers
    widths = [in_dim] + [hidden_dim] * (num_layers - 1) + [out_dim]
    for i in range(num_layers):
      last = i == num_layers - 1
      norm = last_batch_norm if last else batch_norm
      linear = nnx.Linear(widths[i], widths[i + 1], use_bias=not norm, dtype=dtype, rngs=rngs)
      setattr(self, f"linear{i}", linear)
      norm = BatchNorm(num_features=widths[i + 1], bias=not last) if norm else None
      setattr(self, f"norm{i}", norm)

  def __call__(
    self, features: Float[Array, "B D"], *, deterministic: bool
  ) -> Float[Array, "B out"]:
    """Projects; deterministic=False uses the batch's statistics and updates the running ones."""
    x = features
    for i in range(self.num_layers):
      x = getattr(self, f"linear{i}")(x)
      norm = getattr(self, f"norm{i}")
      if norm is not None:
        x = norm(x, deterministic=deterministic)
      if i < self.num_layers - 1:
        x = jax.nn.relu(x)
    return x
