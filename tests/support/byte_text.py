"""A tokenizer of single bytes and a tiny model that goes with it."""

import functools
import json

import tokenizers
from flax import nnx

from pretrainjax.data.tokenizer import SPECIALS, Tokenizer
from pretrainjax.models.gpt import GPT


@functools.cache
def byte_tokenizer():
  """Ids 0 to 4 are special, then come the 256 bytes."""
  alphabet = sorted(tokenizers.pre_tokenizers.ByteLevel.alphabet())
  vocabulary = {piece: i for i, piece in enumerate([*SPECIALS, *alphabet])}
  made = tokenizers.Tokenizer(tokenizers.models.BPE(vocab=vocabulary, merges=[]))
  made.add_special_tokens(list(SPECIALS))
  made.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
  made.decoder = tokenizers.decoders.ByteLevel()
  return Tokenizer(json.dumps(json.loads(made.to_str())))


SIZES = {"vocab_size": 270, "max_length": 64, "embed_dim": 16, "num_layers": 1, "num_heads": 2}


def small_gpt(**changes):
  return GPT(**({"mlp_dim": 16, "init_std": 0.5, "rngs": nnx.Rngs(0)} | SIZES | changes))
