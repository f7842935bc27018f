"""A recogniser whose frames say what its samples are, and runs of it."""

import argparse
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import tokenizers
from flax import nnx
from ml_collections import ConfigDict

from pretrainjax.checkpoint.encoder import Loaded
from pretrainjax.command import Request
from pretrainjax.data.tokenizer import SPECIALS, Tokenizer
from pretrainjax.objectives.base import Towers
from pretrainjax.objectives.supervised.ctc import CTC
from pretrainjax.types import Encoded

HOP = 320
LETTERS = "abc"


def letter_tokenizer(space: str = " ") -> Tokenizer:
  """One token a letter, the space among them."""
  vocabulary = {name: i for i, name in enumerate([*SPECIALS, space, *LETTERS])}
  made = tokenizers.Tokenizer(tokenizers.models.BPE(vocabulary, [], unk_token="[UNK]"))
  if space != " ":
    made.pre_tokenizer = tokenizers.pre_tokenizers.Metaspace(prepend_scheme="never", split=False)
    made.decoder = tokenizers.decoders.Metaspace(prepend_scheme="never")
  else:
    made.decoder = tokenizers.decoders.Fuse()
  made.add_special_tokens(list(SPECIALS))
  return Tokenizer(made.to_str())


class Reads(nnx.Module):
  """The class of a frame is its first sample divided by 1,000."""

  embed_dim, samples_per_frame = 9, HOP

  def inputs(self, batch):
    return batch["audio"], batch["num_samples"]

  def __call__(self, inputs, *, keep=None, deterministic=True, rngs=None) -> Encoded:
    audio, num_samples = inputs
    frames = jnp.round(audio[:, : audio.shape[1] // HOP * HOP : HOP] / 1000).astype(jnp.int32)
    valid = jnp.arange(frames.shape[1])[None] < (num_samples // HOP)[:, None]
    x = 8.0 * nnx.one_hot(frames, self.embed_dim)
    return Encoded(x, x[:, 0], valid)


class Same(nnx.Module):
  def __call__(self, features, **kwargs):
    return features


def saying(path: list[int]) -> np.ndarray:
  """The sound of these classes, one a frame."""
  return np.repeat(np.array(path, np.int16) * 1000, HOP)


def loaded(workdir: Path, tokenizer: Tokenizer, *, objective=None) -> Loaded:
  """A run of the recogniser."""
  (workdir / "tokenizer.json").write_text(tokenizer.text)
  module = Towers(encoder=Reads(), head=Same())
  if objective is None:
    sizes = {"vocab_size": 9, "blank_id": 0, "special_ids": (0, 1, 2, 3, 4)}
    objective = CTC(backbone=lambda rngs: Reads(), head=lambda rngs: Same(), **sizes)
  return Loaded(config=ConfigDict(), objective=objective, module=module, step=3, workdir=workdir)


def run(verb, run_of: Loaded, *flags: str) -> None:
  """Runs a verb of `predict`."""
  parser = argparse.ArgumentParser()
  verb.add_flags(parser)
  verb.work(Request(ConfigDict(), run_of.workdir, parser.parse_args(flags)), run_of)
