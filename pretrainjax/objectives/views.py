"""Several views of each example: augmented on the device, encoded together, told apart again.

    check_views(images, num_views=2)
    images = augment_views(images, self.augment, encoder=module.encoder, rngs=rngs)
    features = on_views(lambda rows: module.encoder(rows).pooled, images)  # B 2 D

With crops of two sizes (multi-crop, SwAV, arXiv 2006.09882) the student sees all of them and a
teacher the large ones:

    on_views(student, globals, locals)  # B (V + V') D
    on_views(teacher, globals)  # B V D
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Shaped

from pretrainjax.augment.color import ColorAugment, standardize
from pretrainjax.errors import UserError


def check_views(images: Shaped[Array, "..."], *, num_views: int) -> None:
  """Refuses images "B H W C", or "B V H W C" with another number of views than an objective's.

  Args:
    images: images of one size, out of a batch.
    num_views: the number of views that the objective takes, V.

  Raises:
    UserError: with what was found.
  """
  if images.ndim != 5 or images.shape[1] != num_views:
    raise UserError(f"config.data.views: found images {images.shape}, expected {num_views} views")


def augment_views(
  images: Shaped[Array, "B V H W C"],
  augment: ColorAugment | None,
  *,
  encoder: Any,
  rngs: nnx.Rngs,
) -> Shaped[Array, "B V H W C"]:
  """Augments each view by its own draw, and normalises it as the encoder wants floats.

  Args:
    images: uint8, or float in [0, 1].
    augment: what to draw; None leaves images as they are, also not normalised.
    encoder: an encoder of images, whose `image_mean` and `image_std` are taken.
    rngs: the step's; one key of "augment" is drawn.
  """
  if augment is None:
    return images
  augmented = augment(_rows(images), rngs.augment())
  normal = standardize(augmented, mean=encoder.image_mean, std=encoder.image_std)
  return normal.reshape(images.shape)


def on_views(network: Callable[[Any], Any], *groups: Any) -> Any:
  """Runs a network on all views of all examples at once, as rows "B*V ...".

  Batch statistics are then of all views of a group, and each row draws a noise of its own.

  Args:
    network: a function from rows to arrays by row, or a tree of such.
    *groups: views of one size each, "B V ...", or a tree of such arrays; one call a group.

  Returns:
    What `network` does, as "B V ..."; views of several groups one behind the other.
  """
  found = [_on_group(network, group) for group in groups]
  if len(found) == 1:
    return found[0]
  return jax.tree.map(lambda *parts: jnp.concatenate(parts, axis=1), *found)


def _on_group(network: Callable[[Any], Any], group: Any) -> Any:
  batch_size, num_views = jax.tree.leaves(group)[0].shape[:2]

  def apart(x: Shaped[Array, "rows *F"]) -> Shaped[Array, "B V *F"]:
    return x.reshape(batch_size, num_views, *x.shape[1:])

  return jax.tree.map(apart, network(jax.tree.map(_rows, group)))


def _rows(views: Shaped[Array, "B V *F"]) -> Shaped[Array, "B*V *F"]:
  """Views as rows: those of one example stay neighbours."""
  return views.reshape(-1, *views.shape[2:])
