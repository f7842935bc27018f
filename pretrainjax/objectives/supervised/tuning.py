"""Full fine-tuning, or a linear probe: what is trained, and how the encoder is run."""

from collections.abc import Callable
from typing import Any, Literal

import jax
import jax.numpy as jnp
from flax import nnx

from pretrainjax.augment.audio import Policy
from pretrainjax.augment.audio import spec_augment as augment
from pretrainjax.errors import UserError
from pretrainjax.objectives.tokenizer_check import check_vocabulary
from pretrainjax.types import Encoded, Encoder

# "full" trains all; "linear" trains the head alone, and the encoder stays as it was loaded.
Tune = Literal["full", "linear"]


def encode(
  encoder: Encoder,
  inputs: Any,
  *,
  tune: Tune,
  rngs: nnx.Rngs,
  spec_augment: Policy | None = None,
) -> Encoded:
  """Encodes a batch for the head that is trained on it.

  Args:
    encoder: an encoder of any modality.
    inputs: what `encoder.inputs` took out of the batch.
    tune: "linear" gives the features that evaluation sees (no dropout, stored batch statistics),
      without gradient.
    rngs: the step's keys, equal on all devices.
    spec_augment: what is hidden of the features of an encoder of sound, arXiv 1904.08779: of
      spectrograms bands and times, of what convolutions make of samples channels and times.
  """
  if tune == "linear":
    return jax.lax.stop_gradient(encoder(inputs, deterministic=True))
  if spec_augment is None:
    return encoder(inputs, deterministic=False, rngs=rngs)
  sound: Any = encoder  # see `check_spec_augment`
  frames = sound.features(inputs)
  lengths = frames.valid.sum(axis=1, dtype=jnp.int32)
  key = rngs.augment()
  hidden = augment(frames.features, lengths, policy=spec_augment, key=key)
  return sound.encode(frames._replace(features=hidden), deterministic=False, rngs=rngs)


def check_spec_augment(encoder: Any, *, policy: Policy | None, tune: Tune) -> None:
  """Raises UserError where a policy is given and there is nothing to hide with it."""
  if policy is None:
    return
  if not hasattr(encoder, "features"):
    raise UserError(
      f"config.objective.spec_augment: found a policy for a {type(encoder).__name__}, expected "
      "None: only the features of sound can be hidden"
    )
  if tune == "linear":
    raise UserError(
      "config.objective.spec_augment: found a policy, expected None with tune='linear', whose "
      "features are those of evaluation"
    )


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
