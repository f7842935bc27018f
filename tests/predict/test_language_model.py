import argparse

import numpy as np
import pytest
from recognisers import letter_tokenizer

from pretrainjax.errors import UserError
from pretrainjax.evaluators.ngram_backoff import fit_backoff
from pretrainjax.generation.arpa import write_arpa
from pretrainjax.generation.fusion import LabelModel, WordModel
from pretrainjax.predict import language_model
from pretrainjax.predict.ctc_words import Labels
from pretrainjax.predict.language_model import fusion_of, spelling

LABELS = Labels.of(letter_tokenizer(), num_classes=9, blank_id=0)


def options(*flags):
  parser = argparse.ArgumentParser()
  language_model.add_flags(parser)
  return parser.parse_args(flags)


@pytest.mark.parametrize("space", ["<space>", "|", "\u2581"])
def test_labels_are_found_by_their_spelling(tmp_path, space):
  path = tmp_path / "lm.arpa"
  write_arpa(path, fit_backoff([["a", space, "b"], ["a", space, "b"]], order=2))
  fusion = fusion_of(options(f"--lm={path}", "--lm_of=labels", "--alpha=1", "--beta=0"), LABELS)
  assert isinstance(fusion, LabelModel)
  after_a = fusion.scores(fusion.extend(fusion.start(), 6))
  assert after_a.argmax() == 5  # the space
  assert after_a[8] == after_a[0]  # c is as unknown as [PAD]


def test_words_and_nothing(tmp_path):
  path = tmp_path / "lm.arpa"
  write_arpa(path, fit_backoff([["ab", "c"]], order=2))
  assert isinstance(fusion_of(options(f"--lm={path}"), LABELS), WordModel)
  assert fusion_of(options(), LABELS) is None
  with pytest.raises(UserError, match="has no token of the run; --lm_of=words"):
    write_arpa(tmp_path / "x.arpa", fit_backoff([["xy"]], order=1))
    fusion_of(options(f"--lm={tmp_path / 'x.arpa'}", "--lm_of=labels"), LABELS)
  with pytest.raises(UserError, match="--beta: found inf"):
    fusion_of(options("--beta=inf"), LABELS)


def test_spelling():
  found = [spelling(LABELS.tokenizer, label) for label in np.arange(5, 9).tolist()]
  assert found == ["<space>", "a", "b", "c"]
