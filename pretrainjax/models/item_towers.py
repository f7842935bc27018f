"""Two towers, one for users and one for items, whose vectors are compared by their cosine."""

from typing import ClassVar, Literal

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float, Int

from pretrainjax import collectives
from pretrainjax.config.follow import Follows, equals, takes
from pretrainjax.models.item_transformer import newest_events
from pretrainjax.models.layers.drop import dropout as drop_values
from pretrainjax.models.layers.embedding import embed
from pretrainjax.models.layers.item_table import ItemTable, whole_rows
from pretrainjax.models.layers.mlp import Activation, Mlp
from pretrainjax.models.layers.norm import l2_normalize
from pretrainjax.models.layers.pool import AttentionPool, mean_pool
from pretrainjax.ranges import (
  NonNegativeFloat,
  NonNegativeInt,
  PositiveFloat,
  PositiveInt,
  Rate,
  ranged,
)
from pretrainjax.types import Batch, Encoded, Events

# Items whose vectors are made at once where all are asked for.
_CHUNK = 1 << 14


class Known(nnx.Variable):
  """Numbers out of the tables of items and users that nothing trains."""


class SideFeatures(nnx.Module):
  """The mean of the vectors of a row's features, such as genres; 0 where it has none.

  Args:
    num_rows: items or users, of which row 0 may be padding.
    num_features: different values of features.
    per_row: the most values that a row has.
    embed_dim: width of the vectors, D.
    init_std: standard deviation of what they start from.
    kind: "item" or "user", for the array's name, by which it is cut over devices.
    rngs: keys for the initial values.
  """

  def __init__(
    self,
    *,
    num_rows: PositiveInt,
    num_features: PositiveInt,
    per_row: PositiveInt,
    embed_dim: PositiveInt,
    init_std: NonNegativeFloat,
    kind: Literal["item", "user"],
    rngs: nnx.Rngs,
  ):
    self.kind = kind
    rows = Known(jnp.zeros((whole_rows(num_rows), per_row), jnp.int32))
    self.item_features = rows if kind == "item" else None
    self.user_features = rows if kind == "user" else None
    init = nnx.initializers.truncated_normal(init_std)
    self.feature_embedding = nnx.Param(init(rngs.params(), (num_features + 1, embed_dim)))

  @property
  def known(self) -> Known:
    """The features of each row by number, from 1; 0 is none."""
    return self.item_features if self.kind == "item" else self.user_features

  def __call__(self, rows: Int[Array, "B T"], *, dtype: str) -> Float[Array, "B T D"]:
    """The vectors of rows by number."""
    features = collectives.look_up(self.known[...], rows)  # B T F
    flat = features.reshape(len(rows), -1)
    vectors = embed(self.feature_embedding[...], flat, dtype=dtype).reshape(*features.shape, -1)
    count = jnp.sum(features > 0, axis=-1, keepdims=True)
    vectors = jnp.where((features > 0)[..., None], vectors, 0)
    return jnp.sum(vectors, axis=-2) / jnp.maximum(count, 1).astype(dtype)


class ItemTowers(nnx.Module):
  """A vector of a user's history and features, and one of an item's number and features.

      user = normalise(perceptron(pool(what is known of the items of the history) + features))
      item = normalise(perceptron(embedding + features))
      score = user . item / temperature

  Both perceptrons are residual branches.

  Args:
    num_items: items of the catalogue, whose numbers are 1 to this.
    num_users: users, whose numbers are 0 to one less.
    max_length: the most events of a history; of a longer one the newest are read.
    embed_dim: width of the vectors, D.
    mlp_dim: width inside the perceptrons.
    num_item_features: different values of items' features in the prepared table, 0 without any.
    features_per_item: the most of them that an item has.
    num_user_features: different values of users' features, likewise.
    features_per_user: the most of them that a user has.
    pool: how a history becomes one vector: the "mean", or by "attention", see `AttentionPool`.
    num_heads: heads of the attention that pools.
    activation: the activation of the perceptrons.
    temperature: what cosines are divided by, above 0.
    dropout: rate on the vectors of a history and in the perceptrons, in [0, 1).
    init_std: standard deviation of the truncated normal distribution that vectors start from.
    dtype: the dtype of the computation; parameters are float32.
    rngs: keys for the initial parameters.

  Reference: Yi et al. 2019, "Sampling-bias-corrected neural modeling for large corpus item
  recommendations" (10.1145/3298689.3346996). Users have no vector of their own, so that new ones
  have scores as soon as they have a history.
  """

  follows: ClassVar[Follows] = {
    "num_items": equals("prepared.num_items"),
    "num_users": equals("prepared.num_users"),
    "max_length": takes("data.length"),
    "num_item_features": equals("prepared.num_item_features"),
    "features_per_item": equals("prepared.features_per_item"),
    "num_user_features": equals("prepared.num_user_features"),
    "features_per_user": equals("prepared.features_per_user"),
  }

  @ranged
  def __init__(
    self,
    *,
    num_items: PositiveInt,
    num_users: PositiveInt,
    max_length: PositiveInt,
    embed_dim: PositiveInt,
    mlp_dim: PositiveInt,
    num_item_features: NonNegativeInt = 0,
    features_per_item: NonNegativeInt = 0,
    num_user_features: NonNegativeInt = 0,
    features_per_user: NonNegativeInt = 0,
    pool: Literal["mean", "attention"] = "mean",
    num_heads: PositiveInt = 1,
    activation: Activation = "relu",
    temperature: PositiveFloat = 0.1,
    dropout: Rate = 0.0,
    init_std: NonNegativeFloat = 0.02,
    dtype: Literal["float32", "bfloat16"] = "float32",
    rngs: nnx.Rngs,
  ):
    self.num_items, self.num_users = num_items, num_users
    self.max_length, self.embed_dim = max_length, embed_dim
    self.temperature, self.dropout, self.dtype = temperature, dropout, dtype
    shared = {"embed_dim": embed_dim, "rngs": rngs}
    self.table = ItemTable(num_items=num_items, init_std=init_std, **shared)

    def side(kind: Literal["item", "user"], rows: int, values: int, per_row: int):
      if not values:
        return None
      sizes = {"num_rows": rows, "num_features": values, "per_row": per_row}
      return SideFeatures(kind=kind, init_std=init_std, **sizes, **shared)

    self.item_side = side("item", num_items + 2, num_item_features, features_per_item)
    # One more: of somebody who is no user of the log nothing is known.
    self.user_side = side("user", num_users + 1, num_user_features, features_per_user)
    mlp = {"mlp_dim": mlp_dim, "activation": activation, "dropout": dropout, "dtype": dtype}
    self.item_mlp, self.user_mlp = Mlp(**mlp, **shared), Mlp(**mlp, **shared)
    heads = {"num_heads": num_heads, "mlp_dim": mlp_dim, "dtype": dtype}
    self.pool = AttentionPool(**heads, **shared) if pool == "attention" else None

  def inputs(self, batch: Batch) -> Events:
    """Takes the history out of a batch, its newest events."""
    history = Events(*(jnp.asarray(batch[name]) for name in ("items", "times", "user")))
    return newest_events(history, self.max_length)

  def __call__(
    self,
    inputs: Events,
    *,
    keep: Int[Array, "B M"] | None = None,
    deterministic: bool = True,
    rngs: nnx.Rngs | None = None,
  ) -> Encoded:
    """Encodes users; `tokens` are the vectors of their items, `keep` must be None."""
    if keep is not None:
      raise ValueError("keep: found indices, expected None, as histories are encoded whole")
    random = {"deterministic": deterministic, "rngs": rngs}
    items = jnp.asarray(inputs.items)
    tokens = drop_values(self._known_of(items), rate=self.dropout, **random)
    valid = items > 0
    x = mean_pool(tokens, valid) if self.pool is None else self._attended(tokens, valid)
    if self.user_side is not None:
      x = x + self.user_side(jnp.asarray(inputs.user)[:, None], dtype=self.dtype)[:, 0]
    return Encoded(tokens, self._ended(self.user_mlp, x, **random), valid)

  def _attended(self, tokens: Float[Array, "B T D"], valid) -> Float[Array, "B D"]:
    """What attention pools; 0 where there is no history."""
    assert self.pool is not None
    is_empty = ~jnp.any(valid, axis=1, keepdims=True)
    return jnp.where(is_empty, 0, self.pool(tokens, valid | is_empty))

  def item_vectors(
    self,
    items: Int[Array | np.ndarray, " B"],
    *,
    deterministic: bool = True,
    rngs: nnx.Rngs | None = None,
  ) -> Float[Array, "B D"]:
    """The unit vectors of items.

    Args:
      items: the numbers of the items.
      deterministic: True switches dropout off.
      rngs: keys for this call.
    """
    x = self._known_of(jnp.asarray(items)[:, None])[:, 0]
    return self._ended(self.item_mlp, x, deterministic=deterministic, rngs=rngs)

  def queries(self, encoded: Encoded) -> Float[Array, "B D"]:
    """See `Recommender`; unit vectors divided by the temperature."""
    return encoded.pooled.astype(jnp.float32) / self.temperature

  def candidates(self) -> tuple[Float[Array, "V D"], Float[Array, " V"] | None]:
    """See `Recommender`; unit vectors, made some at a time."""
    items = jnp.arange(self.num_items + 1)
    size = min(_CHUNK, len(items))
    chunks = jnp.pad(items, (0, -len(items) % size)).reshape(-1, size)
    vectors = jax.lax.map(self.item_vectors, chunks).reshape(-1, self.embed_dim)
    return vectors[: len(items)], None

  def _known_of(self, items: Int[Array, "B T"]) -> Float[Array, "B T D"]:
    x = self.table(items, dtype=self.dtype)
    return x if self.item_side is None else x + self.item_side(items, dtype=self.dtype)

  def _ended(self, mlp: Mlp, x: Float[Array, "B D"], **random) -> Float[Array, "B D"]:
    x = x[:, None]
    return l2_normalize((x + mlp(x, **random))[:, 0])
