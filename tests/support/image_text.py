"""CLIP as somebody would add it: a tower for images, one for texts, and their pairs as data."""

import dataclasses
import math
from collections.abc import Callable
from pathlib import Path

import cv2
import jax.numpy as jnp
import numpy as np
import tiny_texts
from flax import nnx
from ml_collections import ConfigDict

from configs.blocks import fashion_mnist, training
from pretrainjax.config import recipe, spec
from pretrainjax.data.dataset import Dataset
from pretrainjax.data.fields.image import ImageField
from pretrainjax.data.fields.text import TextField
from pretrainjax.data.image import Resize
from pretrainjax.losses.contrastive import compare_pairs
from pretrainjax.models.bert import BERT
from pretrainjax.objectives.base import Towers, WholeBatchObjective
from pretrainjax.objectives.tokenizer_check import check_vocabulary
from pretrainjax.train.optimizer import Optimizer

BATCH_SIZE, LENGTH, VOCAB_SIZE, NUM_RECORDS = 16, 8, 400, 40


@dataclasses.dataclass(frozen=True)
class CLIP(WholeBatchObjective):
  """Each image finds its text among all texts, and each text its image: arXiv 2103.00020.

  The loss is the mean of both cross-entropies; their temperature exp(-log_scale) is learnt.
  """

  image: Callable
  text: Callable
  embed_dim: int = 16
  temperature: float = 0.07

  inherited = ("image", "text")

  def init(self, *, rngs):
    image, text = self.image(rngs=rngs), self.text(rngs=rngs)
    module = Towers(
      image=image,
      text=text,
      image_projector=nnx.Linear(image.embed_dim, self.embed_dim, use_bias=False, rngs=rngs),
      text_projector=nnx.Linear(text.embed_dim, self.embed_dim, use_bias=False, rngs=rngs),
    )
    module.log_scale = nnx.Param(jnp.asarray(-math.log(self.temperature)))
    return module

  def check(self, data):
    check_vocabulary(self.text, data)

  def represent(self, module, batch, *, rngs, step):
    def project(tower, projector):
      return projector(tower(tower.inputs(batch), deterministic=False, rngs=rngs).pooled)

    return {
      "image": project(module.image, module.image_projector),
      "text": project(module.text, module.text_projector),
    }

  def compare(self, module, found):
    images, texts, temperature = found["image"], found["text"], jnp.exp(-module.log_scale[...])
    by_image = compare_pairs(images, texts, temperature=temperature)
    by_text = compare_pairs(texts, images, temperature=temperature)
    loss = (jnp.mean(by_image.loss) + jnp.mean(by_text.loss)) / 2
    return loss, {"loss": loss, "contrastive_accuracy": jnp.mean(by_image.correct)}

  def encoder(self, module):
    return module.image

  def parts(self, module):
    return {"image": module.image, "text": module.text}


def config_of() -> ConfigDict:
  """Two tiny towers on "captions", whose records have an image and a text each."""
  text = recipe(
    BERT,
    vocab_size=VOCAB_SIZE,
    max_length=LENGTH,
    embed_dim=16,
    num_layers=2,
    num_heads=2,
    mlp_dim=32,
    pool="mean",
  )
  fields = {
    "image": spec(ImageField, transform=spec(Resize, size=fashion_mnist.SIZE)),
    "text": spec(TextField, length=LENGTH),
  }
  return training.run(
    objective=spec(CLIP, image=fashion_mnist.vit(smoke=True), text=text),
    data=spec(Dataset, datasets="captions", batch_size=BATCH_SIZE, fields=fields),
    optimizer=spec(Optimizer, learning_rate=1e-3),
    duration=training.steps(1),
  )


def write(data_dir: Path) -> None:
  """Writes "captions": images of noise, with random words."""
  rng = np.random.default_rng(0)
  records = []
  for _ in range(NUM_RECORDS):
    pixels = rng.integers(0, 256, (fashion_mnist.SIZE, fashion_mnist.SIZE, 1), np.uint8)
    words = rng.integers(tiny_texts.FIRST_ID, VOCAB_SIZE, rng.integers(1, LENGTH - 2))
    records.append({"image": cv2.imencode(".png", pixels)[1].tobytes(), "tokens": words.tolist()})
  tiny_texts.write("captions", data_dir, {"train": records}, made=tiny_texts.tokenizer(VOCAB_SIZE))


def texts(step: int) -> dict[str, np.ndarray]:
  """Texts of a batch, of several lengths."""
  rng = np.random.default_rng(step)
  lengths = rng.integers(1, LENGTH + 1, (BATCH_SIZE, 1))
  segments = (np.arange(LENGTH) < lengths).astype(np.int32)
  tokens = rng.integers(tiny_texts.FIRST_ID, VOCAB_SIZE, segments.shape)
  return {"tokens": (tokens * segments).astype(np.int32), "segments": segments}
