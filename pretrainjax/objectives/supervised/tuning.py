"""Full fine-tuning, or a linear probe: what is trained, and how the encoder is run."""

from collections.abc import Callable
from typing import Any, Literal

import jax
from flax import nnx

from pretrainjax.objectives.tokenizer_check import check_vocabulary
from pretrainjax.types import Encoded, Encoder

# "full" trains all; "linear" trains the head alone, and the encoder stays as it was loaded.
Tune = Literal["full", "linear"]


def encode(encoder: Encoder, inputs: Any, *, tune: Tune, rngs: nnx.Rngs) -> Encoded:
  """Encodes a batch for the head that is trained on it.

  Args:
    encoder: an encoder of any modality.
    inputs: what `encoder.inputs` took out of the batch.
    tune: "linear" gives the features that evaluation sees (no dropout, stored batch statistics),
      without gradient.
    rngs: the step's keys, equal on all devices.
  """
  if tune == "full":
    return encoder(inputs, deterministic=False, rngs=rngs)
  return jax.lax.stop_gradient(encoder(inputs, deterministic=True))


def trains(path: tuple[str, ...], *, tune: Tune) -> bool:
  """Whether the optimizer may change a parameter, see `Objective.is_trained`.

  Args:
    path: names from the module down to the parameter.
    tune: "full" trains all; "linear" all but what lies under "encoder".
  """
  return tune == "full" or path[0] != "encoder"


def check_text(backbone: Callable, data: Any) -> None:
  """Checks the vocabulary (`check_vocabulary`) where data has text, and the backbone reads it."""
  if data.tokenizer is None:
    return
  if hasattr(nnx.eval_shape(lambda: backbone(rngs=nnx.Rngs(0))), "vocab_size"):
    check_vocabulary(backbone, data)
