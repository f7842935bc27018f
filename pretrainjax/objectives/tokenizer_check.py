"""Checks that an objective and the tokens of its data have the same vocabulary."""

from collections.abc import Callable
from typing import Any

from flax import nnx

from pretrainjax.errors import UserError


def check_vocabulary(
  backbone: Callable,
  data: Any,
  *,
  special_ids: tuple[int, ...] | None = None,
  mask_id: int | None = None,
  argument: str = "backbone",
) -> None:
  """Refuses data whose tokens the backbone has no rows for, or whose special tokens are others.

  Args:
    backbone: makes the encoder, which has a `vocab_size`; nothing is computed.
    data: the training data, with a `tokenizer` that is None where there is no text.
    special_ids: the special ids of the objective; None if it has none.
    mask_id: the objective's id of [MASK]; None if it has none.
    argument: the objective's argument that makes the encoder.

  Raises:
    UserError: with the config's key, what was found, and what the data has.
  """
  tokenizer = data.tokenizer
  if tokenizer is None:
    raise UserError(f"config.data: found {type(data).__name__}, expected text for this objective")
  found = nnx.eval_shape(lambda: backbone(rngs=nnx.Rngs(0))).vocab_size
  if tokenizer.vocab_size > found:
    raise UserError(
      f"config.objective.{argument}.vocab_size: found {found}, expected at least "
      f"{tokenizer.vocab_size}, as many as the tokenizer of config.data has"
    )
  if mask_id is not None and mask_id != tokenizer.mask_id:
    raise UserError(
      f"config.objective.mask_id: found {mask_id}, expected {tokenizer.mask_id}, the [MASK] of "
      "the tokenizer of config.data"
    )
  names = ("pad_id", "unknown_id", "begin_id", "end_id", "mask_id")
  needed = {getattr(tokenizer, name) for name in names}
  if special_ids is not None and not needed <= set(special_ids):
    raise UserError(
      f"config.objective.special_ids: found {special_ids}, expected "
      f"{tuple(sorted(needed))} among them, as the tokenizer of config.data has"
    )
