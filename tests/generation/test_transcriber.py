import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from pretrainjax.errors import UserError
from pretrainjax.generation.transcriber import Rules, Transcriber
from pretrainjax.models.whisper import WhisperDecoder, WhisperEncoder
from pretrainjax.types import Sound

SIZES = {"embed_dim": 8, "num_layers": 2, "num_heads": 2, "mlp_dim": 12}
IDS = {"start_id": 3, "end_id": 2}
AUDIO = np.random.default_rng(0).integers(-9000, 9000, (3, 4300)).astype(np.int16)
SOUND = Sound(AUDIO, np.array([4300, 2000, 900]))


@pytest.fixture(scope="module")
def networks():
  encoder = WhisperEncoder(num_mels=6, length=15, **SIZES, init_std=0.5, rngs=nnx.Rngs(0))
  decoder = WhisperDecoder(
    vocab_size=11, max_length=12, **SIZES, **IDS, init_std=0.9, rngs=nnx.Rngs(1)
  )
  return encoder, decoder


def by_hand(networks, prompt, suppressed, suppressed_first, count):
  """Reads the whole text anew for each token."""
  encoder, decoder = networks
  context, rows = encoder(SOUND).tokens, []
  for row in range(3):
    tokens = list(prompt)
    while len(tokens) < len(prompt) + count:
      features = decoder(jnp.asarray([tokens], jnp.int32), context[row : row + 1])
      logits = np.array(decoder.logits(features)[0, -1])
      logits[list(suppressed)] = -np.inf
      if len(tokens) == len(prompt):
        logits[list(suppressed_first)] = -np.inf
      if logits.argmax() == 2:
        break
      tokens.append(int(logits.argmax()))
    rows.append(tokens[len(prompt) :])
  return rows


@pytest.mark.parametrize("banned, first", [((), ()), ((5, 7, 40), (2, 9))])
def test_the_likeliest_tokens_are_those_of_reading_anew(networks, banned, first):
  rules = Rules(suppressed=banned, suppressed_first=first)
  written = Transcriber(*networks, rules=rules, max_new_tokens=8)(SOUND, prompt=(3, 4))
  known = [token for token in banned if token < 11]
  expected = by_hand(networks, (3, 4), known, first, 8)
  found = [row[:n].tolist() for row, n in zip(written.tokens, written.lengths, strict=True)]
  assert found == expected
  assert np.isfinite(written.scores).all() and (written.scores <= 0).all()


def test_a_row_does_not_depend_on_the_others(networks):
  transcriber = Transcriber(*networks)
  together = transcriber(SOUND)
  alone = transcriber(Sound(AUDIO[1:2], np.array([2000])))
  np.testing.assert_array_equal(alone.tokens[0], together.tokens[1])
  np.testing.assert_allclose(alone.scores[0], together.scores[1], atol=1e-4)


@pytest.mark.parametrize("prompt", [(), (11,), (1,) * 12])
def test_prompts_that_the_decoder_does_not_have_are_refused(networks, prompt):
  with pytest.raises(UserError, match="prompt: found"):
    Transcriber(*networks)(SOUND, prompt=prompt)
