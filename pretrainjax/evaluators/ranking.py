"""Where a recommender places what users took next, among all items."""

import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from pretrainjax.evaluators.base import Outcome
from pretrainjax.evaluators.features import FeatureCache, forward
from pretrainjax.evaluators.ranked_items import rank_items
from pretrainjax.evaluators.ranking_base import RankingEvaluation


@dataclasses.dataclass(frozen=True, kw_only=True)
class Ranking(RankingEvaluation):
  """Full ranking by a network: every item is scored for every user, and none is sampled.

  Metrics, see `ranking_metrics`: "ndcg@10", "hr@10" (with one target it is recall), "map@10",
  "mrr", "debiased_ndcg@10", "coverage@10" and "novelty@10" (bits), of "k" = 10; with "cold_" in
  front of users without a training event, with "warm_" of the others, where there are both.
  """

  name: str = "ranking"

  def check(self, subject: Any) -> None:
    """See `Evaluation`."""
    encoder = _recommender(subject)
    for part in ("queries", "candidates", "num_items"):
      if not hasattr(encoder, part):
        raise ValueError(f"found {type(encoder).__name__}, expected a recommender, with '{part}'")
    known = self.data.sources[0].noted("num_items", int)
    if encoder.num_items != known:
      raise ValueError(f"data: found {known} items, expected the network's {encoder.num_items}")

  def outcome(self, subject: Any) -> Outcome:
    """See `Evaluation`."""
    self.check(subject)
    encoder = _recommender(subject)
    graphdef, state = nnx.split(encoder)
    queries = forward(
      functools.partial(item_queries, graphdef, state),
      self.data,
      inputs=encoder.inputs,
      max_examples=self.max_examples,
      seed=self.seed,
      what="histories",
    ).features
    if len(queries) != len(self.rows):
      raise ValueError(f"data: {len(self.rows)} examples, of which {len(queries)} can be read")
    vectors, bias = item_candidates(graphdef, state)
    return self.numbers(rank_items(queries, vectors, bias, self.asked, k=max(self.k)))

  def protocol(self) -> dict[str, Any]:
    """See `Evaluation`."""
    return super().protocol() | {"features": "queries . candidates + bias, float32"}


def _recommender(subject: Any) -> Any:
  return subject.encoder if isinstance(subject, FeatureCache) else subject


@functools.partial(jax.jit, static_argnums=0)
def item_queries(graphdef: nnx.GraphDef, state: Any, inputs: Any) -> Float[Array, "B D"]:
  """What a recommender compares with the items, of inputs; it is taken apart by `nnx.split`."""
  network = nnx.merge(graphdef, state)
  return network.queries(network(inputs)).astype(jnp.float32)


@functools.partial(jax.jit, static_argnums=0)
def item_candidates(
  graphdef: nnx.GraphDef, state: Any
) -> tuple[Float[Array, "V D"], Float[Array, " V"] | None]:
  """The vectors and biases of all items of a recommender that is taken apart by `nnx.split`."""
  network = nnx.merge(graphdef, state)
  # Tables may have more rows, so that devices share them evenly.
  return jax.tree.map(lambda x: x[: network.num_items + 1], network.candidates())
