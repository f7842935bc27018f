import argparse
import json

import jax.numpy as jnp
import numpy as np
import pytest
from fake_texts import TinyText, word_tokenizer
from flax import nnx
from ml_collections import ConfigDict

from pretrainjax.checkpoint.encoder import Loaded
from pretrainjax.command import Request
from pretrainjax.errors import UserError
from pretrainjax.objectives.base import Objective, Towers
from pretrainjax.objectives.supervised.question_answering import SpanFinder
from pretrainjax.predict import answer
from pretrainjax.predict.answer import Answering
from pretrainjax.predict.questions import Question
from pretrainjax.prepare.text.form import Form

TOKENIZER = word_tokenizer("who won ? denver broncos the game was long and")
LENGTH = 16


class Encoder(TinyText):
  """Features are the tokens themselves."""

  def __init__(self, rngs: nnx.Rngs):
    super().__init__(vocab_size=20, embed_dim=1, rngs=rngs)

  def sequence(self, inputs, *, deterministic=True, rngs=None):
    return jnp.asarray(inputs.tokens, jnp.float32)[..., None]


class Head(nnx.Module):
  """An answer is "denver broncos", 8 and 9; "no answer" is worth [CLS], 2 * 2."""

  def __call__(self, features, **kwargs):
    x = features[..., 0]
    start = jnp.where(x == 8, 5.0, jnp.where(x == 2, 2.0, 0.0))
    end = jnp.where(x == 9, 5.0, jnp.where(x == 2, 2.0, 0.0))
    return jnp.stack([start, end], axis=-1)


def finder() -> SpanFinder:
  return SpanFinder(encoder=Encoder(rngs=nnx.Rngs(0)), head=Head())


def asked(context: str, question: str = "who won ?") -> Question:
  return Question("a", question, context)


LONG = " ".join(["the game was  long and"] * 9 + ["denver  broncos won"] + ["was long"] * 9)


def test_the_answer_is_found_in_any_window_and_cut_out_of_the_text_as_it_is():
  how = Answering(Form(window=LENGTH, stride=3), longest_answer=5, batch_size=4)
  questions = [asked(LONG), asked("the game was long"), asked("Denver denver broncos!"), asked("")]
  found = list(answer.answer(finder(), TOKENIZER, iter(questions), how))
  assert [question for question, _ in found] == questions
  best, none, odd, empty = (one for _, one in found)
  assert (best.text, best.score, best.null) == ("denver  broncos", 10.0, 4.0)
  assert none.score == 0.0 and none.text in questions[1].context and none.null == 4.0
  assert odd.text.startswith("denver")
  assert (empty.text, empty.score) == ("", -np.inf)


def command(tmp_path, *flags, module=None):
  (tmp_path / "tokenizer.json").write_text(TOKENIZER.text)
  module = finder() if module is None else module
  loaded = Loaded(
    config=ConfigDict(), objective=Objective(), module=module, step=3, workdir=tmp_path
  )
  parser = argparse.ArgumentParser()
  answer.add_flags(parser)
  options = parser.parse_args(["--window=16", "--stride=3", "--batch_size=4", *flags])
  answer.work(Request(ConfigDict(), tmp_path, options), loaded)


def test_one_question_is_answered_by_its_answer_alone(tmp_path, capsys):
  command(tmp_path, "--question=who won ?", f"--context={LONG}")
  assert capsys.readouterr().out == "denver  broncos\n"
  flags = ("--question=who won ?", "--context=the game", "--null_threshold=0")
  command(tmp_path, *flags)
  assert capsys.readouterr().out == "(no answer)\n"


def test_many_are_objects_and_squads_predictions(tmp_path, capsys):
  contexts = ("and denver broncos won", "the game")
  lines = [json.dumps({"id": i, "question": "who ?", "context": c}) for i, c in enumerate(contexts)]
  (tmp_path / "in.jsonl").write_text("\n".join(lines))
  files = (f"--input={tmp_path / 'in.jsonl'}", "--null_threshold=1")
  command(tmp_path, *files)
  found = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
  assert found[0] == {
    "id": "0",
    "question": "who ?",
    "answer": "denver broncos",
    "score": 10.0,
    "no_answer": 4.0,
  }
  assert found[1]["answer"] == "" and found[1]["score"] == 0
  command(tmp_path, *files, f"--out={tmp_path / 'out.json'}")
  assert json.loads((tmp_path / "out.json").read_text()) == {"0": "denver broncos", "1": ""}
  command(tmp_path, *files, f"--out={tmp_path / 'out.jsonl'}")
  assert [json.loads(line) for line in open(tmp_path / "out.jsonl")] == found
  assert "answers to 2 questions" in capsys.readouterr().out


@pytest.mark.parametrize(
  "flags, message",
  [
    ((), "--question, --input: found none or both"),
    (("--question=q",), "--context: found nothing"),
    (("--question=q", "--context=c", "--window=17"), "--window: found 17, expected at most 16"),
    (("--question=q", "--context=c", "--window=2"), r"--window=2: expected in \[8, 65535\]"),
    (("--question=q", "--context=c", "--stride=0"), "--stride=0: expected at least 1"),
    (("--question=q", "--context=c", "--batch_size=0"), "--batch_size: found 0"),
    (("--question=q", "--context=c", "--longest_answer=0"), "--longest_answer: found 0"),
    (("--question=q", "--context=c", "--out=a.csv"), "--out: found 'a.csv', expected a .json"),
    (("--question=q", "--context=c", "--out=no/a.json"), "--out: there is no folder 'no'"),
    (("--question=q\udcff", "--context=c"), "found bytes that are no UTF-8"),
  ],
)
def test_mistakes_are_told(tmp_path, flags, message):
  with pytest.raises(UserError, match=message):
    command(tmp_path, *flags)


def test_other_runs_are_refused_and_files_that_are_there(tmp_path):
  (tmp_path / "a.json").write_text("")
  flags = ("--question=q", "--context=c")
  with pytest.raises(UserError, match="is there already"):
    command(tmp_path, *flags, f"--out={tmp_path / 'a.json'}")
  with pytest.raises(UserError, match="is a run of Objective, expected QuestionAnswering"):
    command(tmp_path, *flags, module=Towers(encoder=Encoder(rngs=nnx.Rngs(0))))
