"""Prefix beam search, and n-grams in it, against flashlight-text's lexicon-free decoder."""

import numpy as np
import pytest

from pretrainjax.evaluators.ngram_backoff import fit_backoff
from pretrainjax.generation.arpa import read_arpa, write_arpa
from pretrainjax.generation.ctc_beam import beam_search
from pretrainjax.generation.fusion import LabelModel

decoder = pytest.importorskip(
  "flashlight.lib.text.decoder",
  reason="pip install flashlight-text, which has wheels to Python 3.12",
)

pytestmark = pytest.mark.parity

LETTERS = ["-", *"abc"]  # the first is the blank
WIDTH = 20_000  # as many as there are transcripts of eight frames: both are exact


def log_probs(frames=8, *, seed, scale=2.0):
  x = np.random.default_rng(seed).normal(size=(frames, len(LETTERS))) * scale
  return (x - np.log(np.exp(x).sum(axis=1, keepdims=True))).astype(np.float32)


def theirs(logs, model, *, weight, width=WIDTH):
  options = decoder.LexiconFreeDecoderOptions(
    beam_size=width,
    beam_size_token=len(LETTERS),
    beam_threshold=1e3,
    lm_weight=weight,
    sil_score=0.0,
    log_add=True,
    criterion_type=decoder.CriterionType.CTC,
  )
  made = decoder.LexiconFreeDecoder(options, model, 0, 0, [])
  totals = {}  # theirs keeps paths that end in a blank apart to the end
  for found in made.decode(np.ascontiguousarray(logs).ctypes.data, *logs.shape):
    path = [k for k in found.tokens if k >= 0]
    pairs = zip(path, [-1, *path], strict=False)
    labels = tuple(k for k, before in pairs if k not in (before, 0))
    totals[labels] = np.logaddexp(totals.get(labels, -np.inf), found.score)
  best = max(totals, key=totals.get)
  return best, totals[best]


@pytest.mark.parametrize("seed", range(5))
def test_without_a_language_model(seed):
  logs = log_probs(seed=seed)
  labels, score = theirs(logs, decoder.ZeroLM(), weight=0.0)
  found = beam_search(logs, blank_id=0, width=WIDTH)[0]
  assert found.labels == labels
  assert found.score == pytest.approx(score, abs=1e-4)


@pytest.mark.parametrize("seed", range(5))
def test_long_and_sure(seed):
  """Beams that keep other prefixes sum other paths, which hardly count here."""
  logs = log_probs(60, seed=seed, scale=9.0)
  labels, score = theirs(logs, decoder.ZeroLM(), weight=0.0, width=100)
  found = beam_search(logs, blank_id=0, width=100)[0]
  assert found.labels == labels and len(labels) > 20
  assert found.score == pytest.approx(score, rel=1e-2)


@pytest.mark.parametrize("seed", range(5))
def test_with_n_grams_of_letters(seed, tmp_path):
  from flashlight.lib.text.decoder.kenlm import KenLM
  from flashlight.lib.text.dictionary import Dictionary

  rng = np.random.default_rng(seed)
  sentences = [[LETTERS[i] for i in rng.integers(0, 9, 12) % 5 % 3 + 1] for _ in range(60)]
  path = tmp_path / "letters.arpa"
  write_arpa(path, fit_backoff(sentences, order=3))
  dictionary = Dictionary()
  for letter in LETTERS:
    dictionary.add_entry(letter)
  logs, alpha = log_probs(seed=seed), 0.7
  # Theirs are logarithms of base 10.
  labels, score = theirs(logs, KenLM(str(path), dictionary), weight=alpha * np.log(10))
  model = read_arpa(path)
  entries = np.array([model.find(letter) for letter in LETTERS])
  fusion = LabelModel(model, entries, alpha=alpha, beta=0.0)
  found = beam_search(logs, blank_id=0, width=WIDTH, fusion=fusion)[0]
  assert found.labels == labels
  assert found.score == pytest.approx(score, abs=1e-4)
