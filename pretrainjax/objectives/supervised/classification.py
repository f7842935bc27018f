"""Classification: fine-tuning, linear probing, and training from scratch."""

import dataclasses
from collections.abc import Callable
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, Int

from pretrainjax.augment.audio import Policy
from pretrainjax.augment.color import standardize
from pretrainjax.augment.mixing import mixup_or_cutmix
from pretrainjax.config.follow import Follows, equals
from pretrainjax.errors import UserError
from pretrainjax.losses.cross_entropy import accuracy, cross_entropy
from pretrainjax.objectives.base import Objective, Towers, expect
from pretrainjax.objectives.feature_spread import feature_std
from pretrainjax.objectives.supervised.tuning import (
  Tune,
  check_spec_augment,
  check_text,
  encode,
  trains,
)
from pretrainjax.ranges import NonNegativeFloat, PositiveInt, Rate, check_ranges
from pretrainjax.types import Batch, Encoded, Metrics


@dataclasses.dataclass(frozen=True)
class Classification(Objective):
  """Classification of images, texts or pairs of texts, from a backbone's pooled feature.

      loss = mean over examples of cross_entropy(head(encoder(x).pooled), (1 - s) * label + s / K)

  Args:
    backbone: makes the encoder, of images, texts or sounds.
    head: makes the network from pooled features to logits of `num_classes`.
    num_classes: number of classes, K.
    label_smoothing: weight s of the uniform distribution, in [0, 1).
    mixup_alpha: concentration of mixup's Beta distribution, arXiv 1710.09412, for images alone; 0
      switches it off.
    cutmix_alpha: the same of CutMix, arXiv 1905.04899; 0 switches it off. With both, each image
      gets either at even odds.
    tune: "full" trains all; "linear" trains the head alone on the features that evaluation sees
      (no dropout, stored batch statistics), and the encoder stays as it was loaded.
    spec_augment: what is hidden of the features of sound while it is trained on, see
      `augment.audio.Policy`; None hides nothing.

  >>> import functools
  >>> from pretrainjax.models.heads import Head
  >>> from pretrainjax.models.mlp import MLP
  >>> objective = Classification(
  ...   backbone=functools.partial(MLP, image_size=4, embed_dim=8),
  ...   head=functools.partial(Head, in_dim=8, num_classes=10),
  ...   num_classes=10,
  ... )
  >>> module = objective.init(rngs=nnx.Rngs(0))
  >>> batch = {"image": jnp.ones((2, 4, 4, 1)), "label": jnp.array([3, 4])}
  >>> loss, _ = objective.loss(module, batch, rngs=nnx.Rngs(1), step=0)
  >>> print(f"{loss:.1f}")  # log(10): a new head tells nothing apart
  2.3
  """

  backbone: Callable
  head: Callable
  num_classes: PositiveInt
  label_smoothing: Rate = 0.0
  mixup_alpha: NonNegativeFloat = 0.0
  cutmix_alpha: NonNegativeFloat = 0.0
  tune: Tune = "full"
  spec_augment: Policy | None = None

  follows: ClassVar[Follows] = {
    "num_classes": equals("prepared.num_classes"),
    "head.num_classes": equals("objective.num_classes"),
    "head.in_dim": equals("objective.backbone.embed_dim"),
  }

  def __post_init__(self):
    check_ranges(self)

  def init(self, *, rngs: nnx.Rngs) -> Towers:
    encoder, head = self.backbone(rngs=rngs), self.head(rngs=rngs)
    expect("objective.head.in_dim", head.in_dim, encoder.embed_dim)
    expect("objective.head.num_classes", head.num_classes, self.num_classes)
    self._check_mixing(encoder)
    check_spec_augment(encoder, policy=self.spec_augment, tune=self.tune)
    return Towers(encoder=encoder, head=head)

  def check(self, data: Any) -> None:
    if not data.num_classes:
      raise UserError("config.data: found no labels, expected examples with classes")
    expect("objective.num_classes", self.num_classes, data.num_classes)
    if self._mixes:
      self._check_mixing(nnx.eval_shape(lambda: self.backbone(rngs=nnx.Rngs(0))))
    check_text(self.backbone, data)

  def predictions(self, module: nnx.Module, encoded: Encoded) -> dict[str, Float[Array, "B K"]]:
    return {"logits": module.head(encoded.pooled, deterministic=True)}

  def is_trained(self, path: tuple[str, ...]) -> bool:
    return trains(path, tune=self.tune)

  def loss(
    self, module: nnx.Module, batch: Batch, *, rngs: nnx.Rngs, step: int | Int[Array, ""]
  ) -> tuple[Float[Array, ""], Metrics]:
    del step
    inputs, labels = module.encoder.inputs(batch), batch["label"]
    if self._mixes:
      inputs, labels = self._mixed(module.encoder, inputs, labels, rngs)
    tuning = {"tune": self.tune, "rngs": rngs, "spec_augment": self.spec_augment}
    pooled = encode(module.encoder, inputs, **tuning).pooled
    logits = module.head(pooled, deterministic=False, rngs=rngs)
    loss = jnp.mean(cross_entropy(logits, labels, label_smoothing=self.label_smoothing))
    metrics = {"loss": loss, "feature_std": feature_std(pooled)}
    if not self._mixes:  # a mixed image has no one right class
      metrics["accuracy"] = jnp.mean(accuracy(logits, labels))
    return loss, metrics

  def _mixed(
    self, encoder: Any, images: Any, labels: Int[Array, " B"], rngs: nnx.Rngs
  ) -> tuple[Float[Array, "B H W C"], Float[Array, "B K"]]:
    images, labels = mixup_or_cutmix(
      images,
      jax.nn.one_hot(labels, self.num_classes),
      mixup_alpha=self.mixup_alpha,
      cutmix_alpha=self.cutmix_alpha,
      key=rngs.mix(),
    )
    return standardize(images, mean=encoder.image_mean, std=encoder.image_std), labels

  @property
  def _mixes(self) -> bool:
    return self.mixup_alpha > 0 or self.cutmix_alpha > 0

  def _check_mixing(self, encoder: Any) -> None:
    """Raises UserError where inputs are to be mixed that are no pixels."""
    if hasattr(encoder, "image_mean"):
      return
    for name in ("mixup_alpha", "cutmix_alpha"):
      if getattr(self, name) > 0:
        raise UserError(
          f"config.objective.{name}: found {getattr(self, name)} for a {type(encoder).__name__}, "
          "expected 0: only images can be mixed"
        )
