"""Objectives as somebody would add them: each a class, and nothing of the package edited.

VICReg and BYOL are here; `image_text` has CLIP, and `own_lab` is another package with an objective.
"""

import dataclasses
from collections.abc import Callable

import image_text
import jax
import jax.numpy as jnp
import numpy as np
import toy_runs
from ml_collections import ConfigDict
from own_lab import rotation

from pretrainjax import collectives
from pretrainjax.augment.color import ColorAugment
from pretrainjax.config import recipe, spec
from pretrainjax.config.allowed import ANYTHING
from pretrainjax.config.follow import equals
from pretrainjax.config.text import load_config
from pretrainjax.models.heads import Projector
from pretrainjax.models.layers.norm import l2_normalize
from pretrainjax.objectives.base import Objective, Towers, WholeBatchObjective
from pretrainjax.objectives.teacher import cosine_momentum, follow, teacher_of
from pretrainjax.objectives.views import augment_views, on_views
from pretrainjax.train.assemble import Run, assemble


@dataclasses.dataclass(frozen=True)
class VICReg(WholeBatchObjective):
  """Variance, invariance, covariance: arXiv 2105.04906, equations 1 to 6."""

  follows = {"projector.in_dim": equals("objective.backbone.embed_dim")}
  backbone: Callable
  projector: Callable
  augment: ColorAugment | None = None
  variance: float = 25.0
  invariance: float = 25.0
  covariance: float = 1.0

  def init(self, *, rngs):
    return Towers(encoder=self.backbone(rngs=rngs), projector=self.projector(rngs=rngs))

  def represent(self, module, batch, *, rngs, step):
    images = augment_views(batch["image"], self.augment, encoder=module.encoder, rngs=rngs)

    def encode(rows):
      pooled = module.encoder(rows, deterministic=False, rngs=rngs).pooled
      return module.projector(pooled, deterministic=False)

    return {"projected": on_views(encode, images)}

  def compare(self, module, found):
    views = found["projected"]  # B 2 D
    invariance = jnp.mean(jnp.square(views[:, 0] - views[:, 1]))
    spread = [self._spread(views[:, v]) for v in (0, 1)]
    variance, covariance = (jnp.mean(jnp.stack(x)) for x in zip(*spread, strict=True))
    loss = self.invariance * invariance + self.variance * variance + self.covariance * covariance
    return loss, {"loss": loss, "variance": variance, "covariance": covariance}

  def _spread(self, x):
    """How much the deviations fall short of 1, and the squared covariances, over all devices."""
    count = len(x) * collectives.num_shards()
    x = x - collectives.mean(x.mean(0))[None]
    matrix = collectives.mean(x.T @ x / len(x)) * count / (count - 1)  # B D -> D D
    short = jax.nn.relu(1 - jnp.sqrt(jnp.diag(matrix) + 1e-4))
    others = jnp.square(matrix) * (1 - jnp.eye(len(matrix)))
    return jnp.mean(short), jnp.sum(others) / len(matrix)


@dataclasses.dataclass(frozen=True)
class BYOL(Objective):
  """Predict the teacher's projection of the other view: arXiv 2006.07733, equations 1 and 2."""

  follows = {"projector.in_dim": equals("objective.backbone.embed_dim")}
  backbone: Callable
  projector: Callable
  predictor: Callable
  augment: ColorAugment | None = None
  momentum: float = 0.9

  def init(self, *, rngs):
    encoder, projector = self.backbone(rngs=rngs), self.projector(rngs=rngs)
    teacher = Towers(encoder=teacher_of(encoder), projector=teacher_of(projector))
    predictor = self.predictor(rngs=rngs)
    return Towers(encoder=encoder, projector=projector, predictor=predictor, teacher=teacher)

  def loss(self, module, batch, *, rngs, step):
    images = augment_views(batch["image"], self.augment, encoder=module.encoder, rngs=rngs)

    def project(networks, rows):
      pooled = networks.encoder(rows, deterministic=False, rngs=rngs).pooled
      return networks.projector(pooled, deterministic=False)

    def predict(rows):
      return module.predictor(project(module, rows), deterministic=False)

    predicted = l2_normalize(on_views(predict, images))
    targets = l2_normalize(on_views(lambda rows: project(module.teacher, rows), images))
    loss = jnp.mean(2 - 2 * jnp.sum(predicted * targets[:, ::-1], axis=-1))
    return loss, {"loss": loss}

  def after_update(self, module, *, step, progress):
    momentum = cosine_momentum(self.momentum, progress)
    follow(module.teacher.encoder, module.encoder, momentum=momentum)
    follow(module.teacher.projector, module.projector, momentum=momentum)

  def encoder(self, module):
    return module.teacher.encoder


NAMES = ("vicreg", "byol", "clip", "rotation")
STEPS = 4


def config_of(name: str) -> ConfigDict:
  """A tiny model's config, as a config file would have it."""
  made = {
    "vicreg": _of_two_views,
    "byol": _of_two_views,
    "clip": lambda _: image_text.config_of(),
    "rotation": lambda _: rotation.config_of(),
  }
  config = made[name](name)
  config.optimizer.name, config.optimizer.momentum = "sgd", 0.9
  config.optimizer.learning_rate = 0.01
  config.optimizer.weight_decay = 0.0
  config.train.duration.steps = STEPS
  config.train.checkpoint_every = 2
  config.train.tracking.tensorboard = False
  config.evals = ConfigDict()  # they would need the data
  return config


def _of_two_views(name: str) -> ConfigDict:
  """SimCLR's config with another objective."""
  config = load_config("configs/pretrain/image/simclr_vit_fashion_mnist.py:smoke")
  networks = {key: config.objective[key] for key in ("backbone", "projector", "augment")}
  width = config.objective.projector.out_dim
  predictor = recipe(Projector, in_dim=width, hidden_dim=16, out_dim=width)
  with config.ignore_type():
    config.objective = {
      "vicreg": lambda: spec(VICReg, **networks),
      "byol": lambda: spec(BYOL, predictor=predictor, **networks),
    }[name]()
  return config


class Noise(toy_runs.Batches):
  """Batches of noise, which depend on the step alone."""

  def __init__(self, name: str):
    super().__init__()
    self._name = name

  def _from(self, step):
    while True:
      yield batch(self._name, step)
      step += 1


def batch(name: str, step: int) -> dict[str, np.ndarray]:
  """A batch of noise that an objective can be trained on."""
  if name == "clip":
    return images(step, views=()) | image_text.texts(step)
  return images(step, views=() if name == "rotation" else (2,))


def images(step: int, *, views: tuple[int, ...] = (2,)) -> dict[str, np.ndarray]:
  """Images of noise."""
  shape = (Noise.batch_size, *views, 28, 28, 1)
  return {"image": np.random.default_rng(step).integers(0, 256, shape, np.uint8)}


def run_of(name: str, config: ConfigDict | None = None) -> Run:
  """A run on noise in place of its data."""
  config = config_of(name) if config is None else config
  return dataclasses.replace(assemble(config, num_examples=512, allow=ANYTHING), data=Noise(name))
