"""Distillation: a student learns the features and logits of a frozen teacher, any trained run."""

import dataclasses
from collections.abc import Callable
from typing import Any, ClassVar, Literal

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, Int

from pretrainjax.config.follow import Follows, equals
from pretrainjax.errors import UserError
from pretrainjax.losses.cross_entropy import accuracy, cross_entropy
from pretrainjax.losses.distillation import cosine_distance, feature_mse, soft_label_divergence
from pretrainjax.losses.tokens import token_mean
from pretrainjax.objectives.base import Objective, Towers, expect
from pretrainjax.objectives.feature_spread import feature_std
from pretrainjax.objectives.supervised.tuning import check_text
from pretrainjax.objectives.teacher import teacher_of
from pretrainjax.ranges import NonNegativeFloat, PositiveFloat, check_ranges
from pretrainjax.types import Batch, Encoded, Metrics


@dataclasses.dataclass(frozen=True)
class Distillation(Objective):
  """Knowledge distillation of images or texts: features, logits, or both.

      loss = f * distance(projector(student(x)), teacher(x))
             + g * T^2 KL(softmax(teacher_head(teacher(x)) / T) || softmax(head(student(x)) / T))
             + h * cross_entropy(head(student(x)), label)

  The teacher comes from another run, `config.init.teacher=RUN[@STEP][:PART]`, with its recipe; its
  head likewise, `config.init.teacher_head=RUN:head`. It is held fixed: no parameter of the
  optimizer, of the moving average or of weight decay, run without dropout and with the batch
  statistics that it was saved with, and cut over devices as the student is.

  Args:
    backbone: makes the student's encoder.
    teacher: makes the teacher's encoder; the run that the teacher comes from brings its own.
    projector: makes the network from the student's features to the teacher's; None where their
      widths are equal.
    head: makes the network from the student's features to logits; None where no logits are learned.
    teacher_head: makes the teacher's, of as many classes; its run brings it.
    features: the distance of features: "cosine" (1 - cosine), "mse", or "none".
    level: "pooled" compares one feature an example, "tokens" each token of both, which must be
      equally many; padding does not count.
    feature_weight: weight f of the features.
    logit_weight: weight g of the logits.
    label_weight: weight h of the true labels, "label" of the batch.
    temperature: T of the logits, above 0.

  Reference: logits are those of arXiv 1503.02531; features with a projector those of FitNets, arXiv
  1412.6550, here of the last layer, and of DistilBERT, arXiv 1910.01108, section 3, by cosine.

  >>> import functools
  >>> from pretrainjax.models.heads import Projector
  >>> from pretrainjax.models.mlp import MLP
  >>> objective = Distillation(
  ...   backbone=functools.partial(MLP, image_size=4, embed_dim=8),
  ...   teacher=functools.partial(MLP, image_size=4, embed_dim=16),
  ...   projector=functools.partial(Projector, in_dim=8, out_dim=16, num_layers=1),
  ... )
  >>> module = objective.init(rngs=nnx.Rngs(0))
  >>> batch = {"image": jnp.ones((2, 4, 4, 1))}
  >>> loss, _ = objective.loss(module, batch, rngs=nnx.Rngs(1), step=0)
  >>> bool(0 <= loss <= 2), len(nnx.to_flat_state(nnx.state(module.teacher, nnx.Param)))
  (True, 0)
  """

  backbone: Callable
  teacher: Callable
  projector: Callable | None = None
  head: Callable | None = None
  teacher_head: Callable | None = None
  features: Literal["cosine", "mse", "none"] = "cosine"
  level: Literal["pooled", "tokens"] = "pooled"
  feature_weight: NonNegativeFloat = 1.0
  logit_weight: NonNegativeFloat = 1.0
  label_weight: NonNegativeFloat = 0.0
  temperature: PositiveFloat = 1.0

  follows: ClassVar[Follows] = {
    "projector.in_dim": equals("objective.backbone.embed_dim"),
    "projector.out_dim": equals("objective.teacher.embed_dim"),
    "head.in_dim": equals("objective.backbone.embed_dim"),
    "head.num_classes": equals("objective.teacher_head.num_classes"),
    "teacher_head.in_dim": equals("objective.teacher.embed_dim"),
  }
  borrowed: ClassVar[tuple[str, ...]] = ("teacher", "teacher_head")

  def __post_init__(self):
    check_ranges(self)
    if (self.head is None) != (self.teacher_head is None):
      raise ValueError("head and teacher_head: found one of them, expected both or none")
    if self.features == "none" and self.head is None:
      raise ValueError("features='none' without heads leaves nothing to learn")
    if self.head is None and self.label_weight > 0:
      raise ValueError(f"label_weight={self.label_weight}: found no head, which labels need")
    if self.level == "tokens" and self.label_weight > 0:
      raise ValueError(f"label_weight={self.label_weight}: level='tokens' has no label a token")

  def init(self, *, rngs: nnx.Rngs) -> Towers:
    networks = {"encoder": self.backbone(rngs=rngs), "teacher": self.teacher(rngs=rngs)}
    width, target = networks["encoder"].embed_dim, networks["teacher"].embed_dim
    if self.projector is not None:
      networks["projector"] = self.projector(rngs=rngs)
      if self.level == "tokens":  # padding would count
        has_norm = _has_batch_norm(networks["projector"])
        expect("objective.projector.batch_norm", has_norm, False)
    elif self.features != "none" and width != target:
      raise UserError(
        f"config.objective.projector: found None, expected one from the student's {width} features "
        f"to the teacher's {target}"
      )
    if self.head is not None and self.teacher_head is not None:
      networks |= {"head": self.head(rngs=rngs), "teacher_head": self.teacher_head(rngs=rngs)}
      expect("objective.head.in_dim", networks["head"].in_dim, width)
      expect("objective.teacher_head.in_dim", networks["teacher_head"].in_dim, target)
      classes = networks["teacher_head"].num_classes
      expect("objective.head.num_classes", networks["head"].num_classes, classes)
    frozen = {name: teacher_of(networks[name]) for name in self.borrowed if name in networks}
    return Towers(**(networks | frozen))

  def check(self, data: Any) -> None:
    if self.label_weight > 0 and not data.num_classes:
      raise UserError("config.data: found no labels, expected examples with classes")
    check_text(self.backbone, data)
    check_text(self.teacher, data)

  def loss(
    self, module: nnx.Module, batch: Batch, *, rngs: nnx.Rngs, step: int | Int[Array, ""]
  ) -> tuple[Float[Array, ""], Metrics]:
    del step
    encoded = module.encoder(module.encoder.inputs(batch), deterministic=False, rngs=rngs)
    known = module.teacher(module.teacher.inputs(batch), deterministic=True)
    known = jax.lax.stop_gradient(known)
    self._check_tokens(encoded, known)
    student, teacher = self._rows(encoded), self._rows(known)
    weights = self._weights(encoded, known)
    loss, metrics = jnp.zeros(()), {"feature_std": feature_std(encoded.pooled)}
    if self.features != "none":
      distance = {"cosine": cosine_distance, "mse": feature_mse}[self.features]
      projected = module.projector(student, deterministic=False) if self.projector else student
      metrics["feature_loss"] = token_mean(distance(projected, teacher), weights)
      loss = loss + self.feature_weight * metrics["feature_loss"]
    if self.head is not None:
      logits = module.head(student, deterministic=False, rngs=rngs)
      targets = jax.lax.stop_gradient(module.teacher_head(teacher, deterministic=True))
      divergence = soft_label_divergence(logits, targets, temperature=self.temperature)
      agree = accuracy(logits, jnp.argmax(targets, axis=-1))
      metrics["logit_loss"] = token_mean(divergence, weights)
      metrics["agreement"] = token_mean(agree, weights)
      loss = loss + self.logit_weight * metrics["logit_loss"]
      if self.label_weight > 0:
        metrics["label_loss"] = jnp.mean(cross_entropy(logits, batch["label"]))
        loss = loss + self.label_weight * metrics["label_loss"]
    return loss, {"loss": loss, **metrics}

  def _rows(self, encoded: Encoded) -> Float[Array, "rows D"]:
    """What is compared: a row an example, or a row a token."""
    if self.level == "pooled":
      return encoded.pooled
    return encoded.tokens.reshape(-1, encoded.tokens.shape[-1])  # B N D -> B*N D

  def _weights(self, encoded: Encoded, known: Encoded) -> Float[Array, " rows"]:
    """1 where a row counts."""
    if self.level == "pooled":
      return jnp.ones(len(encoded.pooled))
    return (encoded.valid & known.valid).reshape(-1).astype(jnp.float32)  # B N -> B*N

  def _check_tokens(self, encoded: Encoded, known: Encoded) -> None:
    found, expected = encoded.tokens.shape[1], known.tokens.shape[1]
    if self.level == "tokens" and found != expected:
      raise UserError(
        f"config.objective.level: found 'tokens' with {found} tokens of the student, expected the "
        f"{expected} of the teacher, or 'pooled'"
      )


def _has_batch_norm(module: nnx.Module) -> bool:
  return bool(jax.tree.leaves(nnx.state(module, nnx.BatchStat)))
