"""Checks that an objective and the histories of its data are about the same items."""

from collections.abc import Callable
from typing import Any

from flax import nnx

from pretrainjax.errors import UserError


def check_catalogue(backbone: Callable, data: Any) -> None:
  """Refuses data that are no histories, of other items, or without an event to predict.

  Args:
    backbone: makes the encoder, which has `num_items` and `max_length`; nothing is computed.
    data: the training data.

  Raises:
    UserError: with the config's key, what was found, and what is expected.
  """
  # By what it has, not by its class: whatever trains imports nothing that reads data.
  if not all(hasattr(data, name) for name in ("next_item", "length", "num_items")):
    raise UserError(
      f"config.data: found {type(data).__name__}, expected ItemData for this objective"
    )
  if not data.next_item:
    raise UserError(
      "config.data.next_item: found False, expected True, so that the newest event that a network "
      "reads has one to predict"
    )
  encoder = nnx.eval_shape(lambda: backbone(rngs=nnx.Rngs(0)))
  if data.length > encoder.max_length:
    raise UserError(
      f"config.data.length: found {data.length}, expected at most {encoder.max_length}, which is "
      "config.objective.backbone.max_length"
    )
  if data.num_items != encoder.num_items:
    raise UserError(
      f"config.objective.backbone.num_items: found {encoder.num_items}, expected "
      f"{data.num_items}, as many as config.data.datasets={data.datasets} has"
    )
