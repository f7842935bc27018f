"""Next-item prediction: SASRec, eSASRec and gSASRec, which differ in layers and in the loss."""

import dataclasses
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ClassVar, Literal, NamedTuple

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Bool, Float, Int, Key

from pretrainjax.config.follow import Follows, takes
from pretrainjax.data.item_table import ItemTable
from pretrainjax.errors import UserError
from pretrainjax.losses.sampled_softmax import (
  calibrated_power,
  sampled_binary,
  sampled_softmax,
)
from pretrainjax.losses.tokens import token_mean, token_weights
from pretrainjax.losses.vocabulary import vocabulary_loss
from pretrainjax.models.layers.embedding import pool_text
from pretrainjax.objectives.base import Objective, Towers
from pretrainjax.objectives.catalogue_check import check_catalogue
from pretrainjax.objectives.feature_spread import feature_std
from pretrainjax.objectives.item_negatives import Kind, Popularity, draw_negatives
from pretrainjax.ranges import Fraction, PositiveInt, check_ranges
from pretrainjax.types import Batch, Events, Metrics


class Asked(NamedTuple):
  """Histories, and the item that comes next after each of their events.

  Attributes:
    events: all events of a row but the newest.
    targets: the item that came next, 0 where none did.
    counted: True where one did.
  """

  events: Events
  targets: Int[Array, "B T"]
  counted: Bool[Array, "B T"]


@dataclasses.dataclass(frozen=True)
class NextItem(Objective):
  """Predicts each event of a history "B T" from those before it.

      loss = mean over events of criterion(score of the item, scores of others)

  "softmax" is over all items, a chunk of scores at a time; "sampled_softmax", "binary" (SASRec) and
  "calibrated" (gSASRec) are against drawn items alone, so that no user is held against all items.

  Args:
    backbone: makes the encoder, an `ItemTransformer` that is causal.
    criterion: the loss of an event, see `losses.sampled_softmax`.
    num_negatives: drawn items of an event.
    shared: whether all events of a row share what is drawn for it, which costs a T-th of the
      look-ups; otherwise each has its own, as one negative an event should be (SASRec).
    negatives: how they are drawn, see `draw_negatives`.
    in_batch_share: of "mixed" negatives those out of the batch.
    log_q: whether "sampled_softmax" corrects for the odds of draws.
    calibration: t of "calibrated", in [0, 1], see `calibrated_power`.
    catalogue: the folder with the table of items, whose counts are read before step 1 where
      popularity is needed; "" has none.
    chunk_size: events whose scores of all items are held at once; None holds all.

  Reference: SASRec, arXiv 1808.09781; eSASRec, 2508.06450; gSASRec, 2308.07192. Ours differs in
  that what was drawn may stand in the history.

  >>> import functools
  >>> from pretrainjax.models.item_transformer import ItemTransformer
  >>> sizes = {"max_length": 8, "embed_dim": 8, "num_layers": 1, "num_heads": 2, "mlp_dim": 16}
  >>> backbone = functools.partial(ItemTransformer, num_items=20, **sizes)
  >>> module = nnx.eval_shape(lambda: NextItem(backbone=backbone).init(rngs=nnx.Rngs(0)))
  >>> sorted(NextItem(backbone=backbone).parts(module))
  ['encoder']
  """

  backbone: Callable
  criterion: Literal["sampled_softmax", "softmax", "binary", "calibrated"] = "sampled_softmax"
  num_negatives: PositiveInt = 256
  shared: bool = True
  negatives: Kind = "uniform"
  in_batch_share: Fraction = 0.5
  log_q: bool = False
  calibration: Fraction = 0.75
  catalogue: str = ""
  chunk_size: PositiveInt | None = 1024

  follows: ClassVar[Follows] = {"catalogue": takes("prepared.catalogue")}

  def __post_init__(self):
    check_ranges(self)
    if self.log_q and self.criterion != "sampled_softmax":
      raise ValueError(f"log_q=True: expected False with criterion='{self.criterion}'")

  @property
  def needs_counts(self) -> bool:
    """Whether anything depends on how often items were in training."""
    if self.criterion == "softmax" or self.negatives == "uniform":
      return False
    return self.log_q or self.negatives == "popularity"

  def init(self, *, rngs: nnx.Rngs) -> Towers:
    encoder = self.backbone(rngs=rngs)
    if not self.needs_counts:
      return Towers(encoder=encoder)
    return Towers(encoder=encoder, popularity=Popularity(num_items=encoder.num_items))

  def check(self, data: Any) -> None:
    check_catalogue(self.backbone, data)
    if self.needs_counts and not self.catalogue:
      raise UserError(
        "config.objective.catalogue: found '', expected the folder of the prepared set (or none, "
        f"which takes that of config.data) for the counts of negatives='{self.negatives}'"
      )

  @property
  def first_batches(self) -> int:
    return int(self.needs_counts)

  def learn_first(self, module: nnx.Module, batches: Iterator[Batch], key: Key[Array, ""]) -> None:
    del batches, key  # counts are in the table already
    module.popularity.learn(ItemTable.load(Path(self.catalogue)).counts)

  def loss(
    self, module: nnx.Module, batch: Batch, *, rngs: nnx.Rngs, step: int | Int[Array, ""]
  ) -> tuple[Float[Array, ""], Metrics]:
    del step
    asked = next_of(batch)
    x = module.encoder.sequence(asked.events, deterministic=False, rngs=rngs)
    return self.scored(module, x, asked, rngs=rngs)

  def scored(
    self, module: nnx.Module, x: Float[Array, "B T D"], asked: Asked, *, rngs: nnx.Rngs
  ) -> tuple[Float[Array, ""], Metrics]:
    """The loss of features "B T D" of the events in `asked`, and what is logged."""
    compared = module.encoder.compared(x)
    last = pool_text(compared, valid=asked.events.items > 0, pool="last")
    metrics = {"feature_std": feature_std(last)}
    if self.criterion == "softmax":
      table, bias = module.encoder.table.whole()
      scores = vocabulary_loss(
        compared,
        table,
        asked.targets,
        weights=token_weights(asked.counted),
        bias=bias,
        chunk_size=self.chunk_size,
      )
      return scores.loss, {"loss": scores.loss, "next_item_accuracy": scores.correct} | metrics
    drawn, log_q = self.drawn(module, asked, rngs.negatives())
    positive, negative = _scores_of(module.encoder.table, compared, asked.targets, drawn)
    is_positive = drawn == asked.targets[..., None]
    losses = self.against(positive, negative, is_positive, log_q, module.encoder.num_items)
    loss = token_mean(losses, asked.counted)
    rivals = jnp.max(jnp.where(is_positive, -jnp.inf, negative), axis=-1)
    won = token_mean((positive > rivals).astype(jnp.float32), asked.counted)
    return loss, {"loss": loss, "accuracy_among_drawn": won} | metrics

  def drawn(
    self, module: nnx.Module, asked: Asked, key: Key[Array, ""]
  ) -> tuple[Int[Array, "B _ K"], Float[Array, "B _ K"] | None]:
    """The negatives of each event, and the logarithm of their odds; one axis is 1 where shared."""
    batch_size, length = asked.targets.shape
    events = 1 if self.shared else length
    found = draw_negatives(
      key,
      asked.targets,
      asked.counted,
      kind=self.negatives,
      num_negatives=self.num_negatives * events,
      num_items=module.encoder.num_items,
      popularity=getattr(module, "popularity", None),
      in_batch_share=self.in_batch_share,
    )

    def by_event(x):  # B K*T -> B T K: what is of the batch stands first, for each event alike
      return jnp.swapaxes(x.reshape(batch_size, self.num_negatives, events), 1, 2)

    return by_event(found.items), None if found.log_q is None else by_event(found.log_q)

  def against(
    self,
    positive: Float[Array, "B T"],
    negative: Float[Array, "B T K"],
    is_positive: Bool[Array, "B T K"],
    log_q: Float[Array, "B _ K"] | None,
    num_items: int,
  ) -> Float[Array, "B T"]:
    """The loss of each event against drawn items."""
    if self.criterion == "sampled_softmax":
      log_q = log_q if self.log_q else None
      log_q = None if log_q is None else jnp.broadcast_to(log_q, negative.shape)
      return sampled_softmax(positive, negative, is_positive=is_positive, log_q=log_q)
    power = 1.0
    if self.criterion == "calibrated":
      power = calibrated_power(
        num_negatives=self.num_negatives, num_items=num_items, calibration=self.calibration
      )
    return sampled_binary(positive, negative, is_positive=is_positive, power=power)


def next_of(batch: Batch) -> Asked:
  """What is read of a batch's rows, and what is to be predicted."""
  items, times = (jnp.asarray(batch[name]) for name in ("items", "times"))
  targets = items[:, 1:]
  read = items[:, :-1]
  # A row of a single event has nothing to predict; its newest is read, and never counts.
  return Asked(Events(read, times[:, :-1], jnp.asarray(batch["user"])), targets, targets > 0)


def _scores_of(
  table: nnx.Module,
  compared: Float[Array, "B T D"],
  targets: Int[Array, "B T"],
  drawn: Int[Array, "B _ K"],
) -> tuple[Float[Array, "B T"], Float[Array, "B T K"]]:
  """The scores of the items that came next and of the drawn ones, in float32."""
  wide = {"preferred_element_type": jnp.float32}
  vectors = [table(items, dtype=compared.dtype.name) for items in (targets, drawn)]
  positive = jnp.einsum("btd,btd->bt", compared, vectors[0], **wide)
  if drawn.shape[1] == 1:  # shared by all events of a row
    negative = jnp.einsum("btd,bkd->btk", compared, vectors[1][:, 0], **wide)
  else:
    negative = jnp.einsum("btd,btkd->btk", compared, vectors[1], **wide)
  if (biases := table.biases(targets)) is not None:
    positive, negative = positive + biases, negative + table.biases(drawn)
  return positive, negative
