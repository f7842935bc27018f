"""The evaluator of answers: over windows, over splits, with and without answers."""

import dataclasses

import jax.numpy as jnp
import numpy as np
import pytest
import tiny_texts
from fake_encoders import identity
from fake_texts import text_of
from flax import nnx

from pretrainjax.data.text_data import TextData
from pretrainjax.data.windows import Window
from pretrainjax.evaluators.answer_f1 import AnswerF1, Judged, answer_metrics
from pretrainjax.evaluators.best_spans import Answered
from pretrainjax.types import Encoded

# Begins and ends an answer, by the token that stands there: these ids are worth more.
START, END = 9, 8


class Lookup(nnx.Module):
  """Features are the tokens themselves."""

  embed_dim = 1

  def inputs(self, batch):
    return text_of(batch)

  def __call__(self, inputs, *, keep=None, deterministic=True, rngs=None):
    x = jnp.asarray(inputs.tokens, jnp.float32)[..., None]
    return Encoded(x, x[:, 0], inputs.segments > 0)


class Finder(nnx.Module):
  """Finds an answer from START (or 7) to END; its "no answer" is worth 2 * 2, by [CLS]."""

  def __init__(self):
    self.encoder = Lookup()

  def logits(self, features):
    x = features[..., 0]
    start = jnp.where(x == START, 6.0, jnp.where(x == 7, 4.0, jnp.where(x == 2, 2.0, 0.0)))
    end = jnp.where(x == END, 1.0, jnp.where(x == 2, 2.0, 0.0))
    return jnp.stack([start, end], axis=-1)


@dataclasses.dataclass(frozen=True, eq=False)
class Asked:
  """Rows [CLS] question [SEP] context [SEP], each token of a context a word of one letter."""

  windows_: tuple[tuple[str, list[int], tuple[str, ...]], ...]
  num_classes = 0
  class_names = ()
  arrays_with_views = ()
  batch_size = 2

  @property
  def num_examples(self):
    return len(self.windows_)

  def windows(self, places):
    found = []
    for place in places:
      question, ids, answers = self.windows_[place]
      context = " ".join(chr(ord("a") + i) for i in ids)
      offsets = np.array([[2 * i, 2 * i + 1] for i in range(len(ids))]).reshape(-1, 2)
      found.append(Window(question, context, offsets, answers))
    return found

  def one_pass(self):
    length = 12
    for start in range(0, len(self.windows_), self.batch_size):
      rows = np.arange(start, start + self.batch_size)
      batch = {name: np.zeros((2, length), np.int32) for name in ("tokens", "segments", "types")}
      for at, row in enumerate(np.minimum(rows, len(self.windows_) - 1)):
        ids = [2, START, END, 3, *self.windows_[row][1], 3]  # the question would be the best answer
        batch["tokens"][at, : len(ids)] = ids
        batch["segments"][at, : len(ids)] = 1
        batch["types"][at, 4 : len(ids)] = 1
      yield batch | {"span": np.zeros((2, 2), np.int32), "valid": rows < len(self.windows_)}


def run(*windows, **options) -> dict[str, float]:
  return AnswerF1(data=Asked(windows), **options).run(Finder())


def test_the_answer_is_the_best_over_all_windows_and_never_of_the_question():
  metrics = run(
    ("q", [11, 7, 10, END], ("l",)),  # h ... i: 4 + 1
    ("p", [START, END, 12], ("J I",)),
    ("q", [START, 12, END, 10], ("J m i",)),  # 6 + 1
  )
  assert metrics == {"exact": 1.0, "f1": 1.0}
  # Were it "h k i" of the first window:
  assert run(("q", [11, 7, 10, END], ("j m i",)))["f1"] == pytest.approx(1 / 3)


def test_an_answer_is_no_longer_than_allowed():
  window = ("q", [START, 12, 12, END], ("j",))
  assert run(window)["f1"] == pytest.approx(2 / 5)
  assert run(window, longest_answer=1) == {"exact": 1.0, "f1": 1.0}


def test_where_all_have_an_answer_each_is_answered():
  assert run(("q", [12, 12], ("m",)), longest_answer=1) == {"exact": 1.0, "f1": 1.0}


def test_none_is_given_by_the_threshold_where_some_have_none():
  windows = (("q", [12, 12], ()), ("p", [START, END], ("j i",)), ("r", [12], ("m",)))
  # No answer is worth 4, m 0, j i 7.
  metrics = run(*windows)
  assert metrics.pop("f1") == metrics.pop("exact") == pytest.approx(2 / 3)
  assert metrics == {
    "no_answer_accuracy": 1.0,
    "has_answer_exact": 0.5,
    "has_answer_f1": 0.5,
  }
  metrics = run(*windows, null_threshold=4.0)  # not above it
  assert metrics["no_answer_accuracy"] == 0 and metrics["has_answer_f1"] == 1
  assert run(("q", [12], ())) == {"exact": 1.0, "f1": 1.0, "no_answer_accuracy": 1.0}


def test_only_the_window_least_sure_of_none_counts():
  found = Answered("x", 3.0, 9.0).with_window(Answered("y", 1.0, 2.0))
  metrics = answer_metrics([Judged(found, ("x",)), Judged(found, ())], null_threshold=0.0)
  assert metrics["has_answer_f1"] == 1 and metrics["no_answer_accuracy"] == 0


def test_it_reads_prepared_questions(tmp_path):
  made = tiny_texts.tokenizer()
  pairs = (("hope", "the people of our state", "people"), ("is", "hope for the union", "union"))
  rows = [tiny_texts.window(q, c, a, made=made) for q, c, a in pairs]
  tiny_texts.write("asked", tmp_path, {"train": rows})
  data = TextData(datasets="asked", batch_size=4, length=24, data_dir=str(tmp_path))
  wanted = {int(rows[0]["second"][i]) for i in rows[0]["span"]}

  class Knows(Finder):
    def logits(self, features):
      hit = jnp.isin(features[..., 0], jnp.asarray(sorted(wanted), jnp.float32))
      return jnp.stack([hit, hit], axis=-1).astype(jnp.float32)

  evaluator = AnswerF1(data=data)
  assert evaluator.reason_to_leave_out(key="config.evals.answers") is None
  metrics = evaluator.run(Knows())
  assert metrics["exact"] == 0.5 and metrics["f1"] >= 0.5
  assert evaluator.protocol()["longest_answer"] == 30


def test_what_does_not_fit_is_refused(tmp_path):
  with pytest.raises(
    ValueError, match="found a TinyEncoder without 'encoder', expected a Question"
  ):
    AnswerF1(data=Asked(())).run(identity())
  with pytest.raises(ValueError, match="found no question"):
    AnswerF1(data=Asked(())).run(Finder())
  tiny_texts.write("notes", tmp_path, {"train": [{"tokens": [200]}]})
  data = TextData(datasets="notes", batch_size=1, length=8, data_dir=str(tmp_path))
  assert "has no spans" in AnswerF1(data=data).reason_to_leave_out(key="config.evals.answers")
