import json

import tokenizers
from byte_text import byte_tokenizer
from fake_texts import word_tokenizer

from pretrainjax.config.objects import recipe
from pretrainjax.export.tokenizer import tokenizer_files
from pretrainjax.models.bert import BERT
from pretrainjax.models.gpt import GPT
from pretrainjax.models.text_tower import TextTower

SIZES = {"max_length": 7, "embed_dim": 6, "num_layers": 1, "num_heads": 2, "mlp_dim": 4}


def files(tokenizer, model, kind):
  return tokenizer_files(tokenizer, recipe(model, vocab_size=300, **SIZES), kind=kind)


def test_theirs_wraps_texts_as_we_do():
  ours = word_tokenizer("a b c")
  found = files(ours, BERT, "BertForMaskedLM")
  theirs = tokenizers.Tokenizer.from_str(found["tokenizer.json"])
  assert theirs.encode("a b").ids == [ours.begin_id, *ours.encode("a b"), ours.end_id]
  pair = theirs.encode("a", "b c")
  assert pair.tokens == ["[CLS]", "a", "[SEP]", "b", "c", "[SEP]"]
  assert pair.type_ids == [0, 0, 0, 1, 1, 1]
  config = json.loads(found["tokenizer_config.json"])
  assert config["mask_token"] == "[MASK]" and config["model_max_length"] == 7
  assert "token_type_ids" in config["model_input_names"]


def test_a_causal_model_has_no_end_to_go_on_from():
  ours = byte_tokenizer()
  found = files(ours, GPT, "GPT2LMHeadModel")
  theirs = tokenizers.Tokenizer.from_str(found["tokenizer.json"])
  assert theirs.encode("ab").ids == [ours.begin_id, *ours.encode("ab")]
  config = json.loads(found["tokenizer_config.json"])
  assert config["bos_token"] == "[CLS]" and "token_type_ids" not in config["model_input_names"]


def test_rows_that_are_filled_up_have_no_mask():
  ours = word_tokenizer("a b c")
  tower = recipe(TextTower, vocab_size=300, **SIZES, pool="last", causal=False, fill_id=3)
  config = json.loads(tokenizer_files(ours, tower, kind="SiglipTextModel")["tokenizer_config.json"])
  assert config["model_input_names"] == ["input_ids"] and config["pad_token"] == "[SEP]"


def test_what_it_had_of_its_own_stays():
  ours = word_tokenizer("a b c")
  first = files(ours, BERT, "BertModel")["tokenizer.json"]
  again = files(type(ours)(first), BERT, "BertModel")["tokenizer.json"]
  assert json.loads(again) == json.loads(first)
