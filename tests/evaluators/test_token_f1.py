import dataclasses

import jax.numpy as jnp
import numpy as np
import pytest
from fake_encoders import identity
from fake_texts import text_of
from flax import nnx

from pretrainjax.evaluators.token_f1 import TokenF1, entities, entity_metrics
from pretrainjax.types import Encoded

NAMES = ("O", "B-PER", "I-PER", "B-LOC", "I-LOC", "I-ORG")


def scores(true, guessed):
  """Metrics of lists of sentences, each a list of tag names."""
  sentences = np.repeat(np.arange(len(true)), [len(s) for s in true])
  tags = [np.array([NAMES.index(n) for s in x for n in s]) for x in (true, guessed)]
  return entity_metrics(*(entities(t, sentences, names=NAMES) for t in tags))


def random_sentences(seed):
  rng = np.random.default_rng(seed)
  true = [[NAMES[i] for i in rng.integers(0, 6, n)] for n in rng.integers(1, 9, 40)]
  guessed = [[n if rng.random() < 0.7 else NAMES[rng.integers(6)] for n in s] for s in true]
  return true, guessed


@pytest.mark.parametrize("seed", range(5))
def test_equals_seqeval_on_odd_sequences(seed):
  peer = pytest.importorskip("seqeval.metrics")
  true, guessed = random_sentences(seed)
  found = scores(true, guessed)
  for name, average in (("f1", "micro"), ("macro_f1", "macro")):
    expected = peer.f1_score(true, guessed, average=average)
    assert found[name] == pytest.approx(expected)
  assert found["precision"] == pytest.approx(peer.precision_score(true, guessed))
  assert found["recall"] == pytest.approx(peer.recall_score(true, guessed))


def test_an_entity_counts_as_a_whole():
  true = [["B-PER", "I-PER", "O", "B-LOC"]]
  assert scores(true, true)["f1"] == 1
  found = scores(true, [["B-PER", "O", "O", "B-LOC"]])  # the person ends too early
  assert (found["precision"], found["recall"], found["f1"]) == (0.5, 0.5, 0.5)
  assert found["macro_f1"] == 0.5
  found = scores(true, [["B-LOC", "I-LOC", "O", "B-LOC"]])  # its type is wrong
  assert found["f1"] == 0.5 and found["macro_f1"] == pytest.approx((0 + 2 / 3) / 2)


def test_where_entities_begin():
  per = [["I-PER", "I-PER", "B-PER", "I-LOC"]]  # I after nothing, B after I, I of another type
  assert scores(per, [["B-PER", "I-PER", "B-PER", "B-LOC"]])["f1"] == 1
  # An entity ends with its sentence.
  assert scores([["B-PER"], ["I-PER"]], [["B-PER"], ["B-PER"]])["f1"] == 1
  assert scores([["B-PER", "I-PER"]], [["B-PER", "B-PER"]])["f1"] == 0


def test_no_entities_at_all_are_no_error():
  assert set(scores([["O", "O"]], [["O", "O"]]).values()) == {0.0}
  with pytest.raises(ValueError, match="found 'S-PER', expected 'O'"):
    entities(np.array([0]), np.array([0]), names=("S-PER",))


class Tagger(nnx.Module):
  """Guesses the tag that each token's number names."""

  def __init__(self):
    self.encoder, self.head = Lookup(), nnx.Dropout(0.0)


class Lookup(nnx.Module):
  embed_dim = 6

  def inputs(self, batch):
    return text_of(batch)

  def __call__(self, inputs, *, keep=None, deterministic=True, rngs=None):
    x = jnp.eye(6)[inputs.tokens]
    return Encoded(x, x[:, 0], inputs.segments > 0)


@dataclasses.dataclass(frozen=True, eq=False)
class Tagged:
  """Two batches of two rows; the last row only fills up, and -1 is not scored."""

  tag_names: tuple[str, ...] = NAMES
  num_examples = 3
  num_classes = 0
  class_names = ()

  def one_pass(self):
    guessed = np.array([[1, 2, 0, 3], [5, 5, 0, 0], [2, 1, 0, 0], [4, 4, 4, 4]], np.int32)
    tags = np.array([[1, -1, 0, 3], [5, 0, -1, -1], [2, 1, -1, -1], [1, 1, 1, 1]], np.int32)
    segments = (np.arange(4)[None] < np.array([4, 2, 2, 4])[:, None]).astype(np.int32)
    valid = np.array([True, True, True, False])
    for rows in (slice(0, 2), slice(2, 4)):
      yield {
        "tokens": guessed[rows],
        "segments": segments[rows],
        "tags": tags[rows],
        "valid": valid[rows],
      }


def test_it_scores_the_heads_tags_of_scored_tokens():
  metrics = TokenF1(data=Tagged()).run(Tagger())
  # PER, LOC; ORG is one token too long; PER, PER.
  assert metrics["precision"] == metrics["recall"] == pytest.approx(4 / 5)
  assert metrics["accuracy"] == pytest.approx(6 / 7)


def test_what_does_not_fit_is_refused():
  with pytest.raises(ValueError, match="found a TinyEncoder without 'encoder'"):
    TokenF1(data=Tagged()).run(identity())
  with pytest.raises(ValueError, match="found 2 tags, expected the head's 6"):
    TokenF1(data=Tagged(tag_names=("O", "I-PER"))).run(Tagger())
