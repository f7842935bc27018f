import argparse

import numpy as np
import pytest
from fake_texts import TinyText, word_tokenizer
from flax import nnx
from ml_collections import ConfigDict

from pretrainjax.checkpoint.encoder import Loaded
from pretrainjax.command import Request
from pretrainjax.errors import UserError
from pretrainjax.models.lm_head import MaskedLMHead
from pretrainjax.objectives.base import Objective, Towers
from pretrainjax.predict import fill_mask
from pretrainjax.predict.embedding import padded
from pretrainjax.predict.fill_mask import completed, fill

TOKENIZER = word_tokenizer("the state of union is strong")


def module():
  """Knows 14 tokens, three more than the tokenizer."""
  encoder = TinyText(vocab_size=14, rngs=nnx.Rngs(0))
  return Towers(encoder=encoder, head=MaskedLMHead(embed_dim=8, vocab_size=14, rngs=nnx.Rngs(1)))


def test_probabilities_are_the_heads_over_real_tokens():
  model = module()
  gaps = fill(model, TOKENIZER, "the [MASK] of the [MASK]", top_k=20)
  row = padded([[2, 5, 4, 7, 5, 4, 3]], length=7)
  hidden = model.encoder.sequence(row)
  logits = np.asarray(model.head(hidden, model.encoder.token_embedding[...]))[0, [2, 5], 5:11]
  expected = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
  assert len(gaps) == 2
  for gap, probabilities in zip(gaps, expected, strict=True):
    assert [f.token for f in gap] == (np.argsort(-probabilities) + 5).tolist()
    np.testing.assert_allclose(
      [f.probability for f in gap], np.sort(probabilities)[::-1], rtol=1e-4
    )
    assert gap[0].text == TOKENIZER.decode([gap[0].token])


def test_the_likeliest_tokens_complete_the_text():
  gaps = fill(module(), TOKENIZER, "the [MASK] of the [MASK]", top_k=1)
  words = completed(TOKENIZER, "the [MASK] of the [MASK]", [gap[0] for gap in gaps]).split()
  assert words == ["the", gaps[0][0].text, "of", "the", gaps[1][0].text]


def test_the_command_prints_a_table_a_gap(tmp_path, capsys):
  (tmp_path / "tokenizer.json").write_text(TOKENIZER.text)
  loaded = Loaded(
    config=ConfigDict(), objective=Objective(), module=module(), step=3, workdir=tmp_path
  )
  parser = argparse.ArgumentParser()
  fill_mask.add_flags(parser)

  def run(*flags, loaded=loaded):
    fill_mask.work(Request(ConfigDict(), tmp_path, parser.parse_args(flags)), loaded)

  run("--text=the [MASK] of the union", "--top_k=3")
  out = capsys.readouterr().out
  assert out.count("%") == 3 and "| token " in out and "likeliest: the " in out
  towers = {"encoder": loaded.encoder, "generator": loaded.encoder, "head": loaded.module.head}
  electra, headless = (
    Loaded(
      config=ConfigDict(),
      objective=Objective(),
      module=Towers(**networks),
      step=3,
      workdir=tmp_path,
    )
    for networks in (towers, {"encoder": loaded.encoder})
  )
  for flags, other, message in (
    ((), loaded, "--text: found nothing"),
    (("--text=the union",), loaded, r"found no \[MASK\] in 'the union'"),
    (("--text=[MASK]", "--top_k=0"), loaded, "--top_k: found 0"),
    (("--text=[MASK]" + " the" * 20,), loaded, "found 23 tokens, expected at most 16"),
    (("--text=[MASK]",), electra, "is a run of Objective, expected a masked language model"),
    (("--text=[MASK]",), headless, "is a run of Objective, expected a masked language model"),
  ):
    with pytest.raises(UserError, match=message):
      run(*flags, loaded=other)
