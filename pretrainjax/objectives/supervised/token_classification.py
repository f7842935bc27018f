"""Token classification: names in a text, parts of speech."""

import dataclasses
from collections.abc import Callable
from typing import Any, ClassVar

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, Int

from pretrainjax.config.follow import Follows, equals
from pretrainjax.errors import UserError
from pretrainjax.losses.cross_entropy import accuracy, cross_entropy
from pretrainjax.losses.tokens import token_mean
from pretrainjax.objectives.base import Objective, Towers, expect
from pretrainjax.objectives.feature_spread import feature_std
from pretrainjax.objectives.supervised.tuning import Tune, check_text, encode, trains
from pretrainjax.ranges import PositiveInt
from pretrainjax.types import Batch, Encoded, Metrics


@dataclasses.dataclass(frozen=True)
class TokenClassification(Objective):
  """Classification of each token that has a class ("tags" of the batch, -1 where there is none).

      loss = mean over tokens t with a tag of cross_entropy(head(encoder(text).tokens_t), tag_t)

  The mean is over all tokens of the batch that have a tag, so that a long text counts more.

  Args:
    backbone: makes the encoder of texts.
    head: makes the network from features of tokens to logits of `num_classes`.
    num_classes: number of classes, K; for names "O", "B-TYPE" and "I-TYPE".
    tune: "full" trains all; "linear" trains the head alone, see `tuning.encode`.

  >>> import functools
  >>> from pretrainjax.models.bert import BERT
  >>> from pretrainjax.models.heads import Head
  >>> sizes = {"vocab_size": 30, "max_length": 12, "num_layers": 1, "num_heads": 2, "mlp_dim": 16}
  >>> objective = TokenClassification(
  ...   backbone=functools.partial(BERT, embed_dim=8, **sizes),
  ...   head=functools.partial(Head, in_dim=8, num_classes=3),
  ...   num_classes=3,
  ... )
  >>> module = nnx.eval_shape(lambda: objective.init(rngs=nnx.Rngs(0)))
  >>> sorted(objective.parts(module))
  ['encoder', 'head']
  """

  backbone: Callable
  head: Callable
  num_classes: PositiveInt
  tune: Tune = "full"

  follows: ClassVar[Follows] = {
    "num_classes": equals("prepared.num_tags"),
    "head.num_classes": equals("objective.num_classes"),
    "head.in_dim": equals("objective.backbone.embed_dim"),
  }

  def init(self, *, rngs: nnx.Rngs) -> Towers:
    encoder, head = self.backbone(rngs=rngs), self.head(rngs=rngs)
    expect("objective.head.in_dim", head.in_dim, encoder.embed_dim)
    expect("objective.head.num_classes", head.num_classes, self.num_classes)
    expect(
      "objective.head.batch_norm", getattr(head, "norm", None) is not None, False
    )  # padding would count
    return Towers(encoder=encoder, head=head)

  def check(self, data: Any) -> None:
    names = getattr(data, "tag_names", ())
    if not names:
      raise UserError("config.data: found no tags, expected texts whose tokens have classes")
    expect("objective.num_classes", self.num_classes, len(names))
    check_text(self.backbone, data)

  def predictions(self, module: nnx.Module, encoded: Encoded) -> dict[str, Float[Array, "B T K"]]:
    return {"logits": module.head(encoded.tokens, deterministic=True)}

  def is_trained(self, path: tuple[str, ...]) -> bool:
    return trains(path, tune=self.tune)

  def loss(
    self, module: nnx.Module, batch: Batch, *, rngs: nnx.Rngs, step: int | Int[Array, ""]
  ) -> tuple[Float[Array, ""], Metrics]:
    del step
    encoded = encode(module.encoder, module.encoder.inputs(batch), tune=self.tune, rngs=rngs)
    logits = module.head(encoded.tokens, deterministic=False, rngs=rngs)
    logits = logits.reshape(-1, self.num_classes)  # B T K -> B*T K
    tags = batch["tags"].reshape(-1)  # B T -> B*T
    scored, known = tags >= 0, jnp.maximum(tags, 0)
    weights = scored.astype(jnp.float32)
    loss = token_mean(cross_entropy(logits, known), weights)
    hits = token_mean(accuracy(logits, known), weights)
    return loss, {"loss": loss, "accuracy": hits, "feature_std": feature_std(encoded.pooled)}
