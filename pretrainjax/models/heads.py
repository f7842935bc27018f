"""What training puts on top of an encoder's features."""

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from pretrainjax.models.layers.drop import dropout as drop_values
from pretrainjax.models.layers.mlp import Activation
from pretrainjax.models.layers.mlp import activation as activate
from pretrainjax.models.layers.norm import BatchNorm
from pretrainjax.ranges import (
  FewInt,
  NonNegativeFloat,
  NonNegativeInt,
  PositiveInt,
  Rate,
  ranged,
)


class Head(nnx.Module):
  """A classifier: one linear layer, or a perceptron with one hidden layer.

  Args:
    in_dim: width of the features, D.
    num_classes: number of classes, K; 1 for a score.
    hidden_dim: width of the hidden layer; None for none.
    activation: what follows the hidden layer: "tanh" is that of BERT's pooler and RoBERTa's head,
      "gelu" that of ELECTRA's.
    init_std: standard deviation of the normal distribution that kernels start from; 0 starts the
      last from zeros and the hidden one from LeCun's. (MAE's code cuts it off at +-2, which is
      never reached.)
    batch_norm: a BatchNorm without scale and shift before all layers, as MAE's linear probing has
      it (arXiv 2111.06377, appendix A.1).
    dropout: rate before each layer, in [0, 1). (BERT has none before its pooler.)
    rngs: keys for the initial parameters.
  """

  @ranged
  def __init__(
    self,
    *,
    in_dim: PositiveInt,
    num_classes: PositiveInt,
    hidden_dim: PositiveInt | None = None,
    activation: Activation = "tanh",
    init_std: NonNegativeFloat = 0.0,
    batch_norm: bool = False,
    dropout: Rate = 0.0,
    rngs: nnx.Rngs,
  ):
    self.in_dim, self.num_classes = in_dim, num_classes
    self.activation, self.dropout = activation, dropout
    norm = BatchNorm(num_features=in_dim, eps=1e-6, scale=False, bias=False)
    self.norm = norm if batch_norm else None
    normal = nnx.initializers.normal(init_std)
    hidden, width = None, in_dim
    if hidden_dim is not None:
      init = normal if init_std > 0 else nnx.initializers.lecun_normal()
      hidden, width = nnx.Linear(in_dim, hidden_dim, kernel_init=init, rngs=rngs), hidden_dim
    self.hidden = hidden
    init = normal if init_std > 0 else nnx.initializers.zeros
    self.classifier = nnx.Linear(width, num_classes, kernel_init=init, rngs=rngs)

  def __call__(
    self,
    features: Float[Array, "B *N D"],
    *,
    deterministic: bool = True,
    rngs: nnx.Rngs | None = None,
  ) -> Float[Array, "B *N K"]:
    """Logits in float32, of pooled features or of tokens alike.

    deterministic=False updates BatchNorm, which knows pooled features only, and switches dropout
    on.
    """
    x = features.astype("float32")
    if self.norm is not None:
      x = self.norm(x, deterministic=deterministic)
    x = drop_values(x, rate=self.dropout, deterministic=deterministic, rngs=rngs)
    if self.hidden is not None:
      x = activate(self.activation)(self.hidden(x))
      x = drop_values(x, rate=self.dropout, deterministic=deterministic, rngs=rngs)
    return self.classifier(x)


class CTCHead(nnx.Module):
  """Scores of labels for each frame, one of them the blank: what connectionist recognition reads.

  Args:
    in_dim: width of the features, D.
    vocab_size: number of labels with the blank, V.
    blank: the number of the blank.
    dropout: rate on the features, in [0, 1).
    init_std: standard deviation of the normal distribution that the kernel starts from.
    rngs: keys for the initial parameters.

  Raises:
    ValueError: for a blank that is no label.

  Reference: Graves et al., ICML 2006, section 3.
  """

  @ranged
  def __init__(
    self,
    *,
    in_dim: PositiveInt,
    vocab_size: PositiveInt,
    blank: NonNegativeInt = 0,
    dropout: Rate = 0.0,
    init_std: NonNegativeFloat = 0.02,
    rngs: nnx.Rngs,
  ):
    if blank >= vocab_size:
      raise ValueError(f"blank={blank}: expected below vocab_size={vocab_size}")
    self.in_dim, self.vocab_size, self.blank, self.dropout = in_dim, vocab_size, blank, dropout
    init = nnx.initializers.normal(init_std)
    self.classifier = nnx.Linear(in_dim, vocab_size, kernel_init=init, rngs=rngs)

  def __call__(
    self,
    tokens: Float[Array, "B N D"],
    *,
    deterministic: bool = True,
    rngs: nnx.Rngs | None = None,
  ) -> Float[Array, "B N V"]:
    """Logits in float32; dropout needs `rngs`."""
    x = tokens.astype("float32")
    x = drop_values(x, rate=self.dropout, deterministic=deterministic, rngs=rngs)
    return self.classifier(x)


class Projector(nnx.Module):
  """A perceptron from features to the space of a contrastive loss.

  Each layer but the last is linear, BatchNorm, ReLU.

  Args:
    in_dim: width of the features, D.
    hidden_dim: width of the hidden layers.
    out_dim: width of the result.
    num_layers: linear layers, at least 1.
    batch_norm: False leaves BatchNorm out (and gives linear layers a bias).
    use_bias: False leaves the bias of linear layers out, which those before BatchNorm never have.
    last_batch_norm: BatchNorm, without shift, also after the last layer.
    dtype: the dtype of the computation, "float32" or "bfloat16"; parameters are float32.
    rngs: keys for the initial parameters.

  Reference: SimCLR, arXiv 2002.05709, section 4.2 and appendix B (2048, then 128). One layer
  without BatchNorm and bias is CLIP's, 2103.00020.
  """

  @ranged
  def __init__(
    self,
    *,
    in_dim: PositiveInt,
    hidden_dim: PositiveInt = 2048,
    out_dim: PositiveInt = 128,
    num_layers: FewInt = 2,
    batch_norm: bool = True,
    use_bias: bool = True,
    last_batch_norm: bool = False,
    dtype: str = "float32",
    rngs: nnx.Rngs,
  ):
    self.num_layers, self.out_dim = num_layers, out_dim
    widths = [in_dim] + [hidden_dim] * (num_layers - 1) + [out_dim]
    for i in range(num_layers):
      last = i == num_layers - 1
      norm = last_batch_norm if last else batch_norm
      options = {"use_bias": use_bias and not norm, "dtype": dtype, "rngs": rngs}
      setattr(self, f"linear{i}", nnx.Linear(widths[i], widths[i + 1], **options))
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


class Pooler(nnx.Module):
  """A linear layer and tanh: BERT's pooler, and what SimCSE puts on top in training.

  Args:
    embed_dim: width in and out, D.
    init_std: std of the normal distribution that the kernel starts from.
    dtype: the dtype of the computation, "float32" or "bfloat16"; parameters are float32.
    rngs: keys for the initial parameters.

  Reference: arXiv 1810.04805; 2104.08821, section 6.3.
  """

  @ranged
  def __init__(
    self,
    *,
    embed_dim: PositiveInt,
    init_std: NonNegativeFloat = 0.02,
    dtype: str = "float32",
    rngs: nnx.Rngs,
  ):
    init = nnx.initializers.normal(init_std)
    self.dense = nnx.Linear(embed_dim, embed_dim, dtype=dtype, kernel_init=init, rngs=rngs)

  def __call__(self, features: Float[Array, "B D"]) -> Float[Array, "B D"]:
    """Transforms each feature."""
    return jnp.tanh(self.dense(features))
