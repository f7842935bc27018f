"""Models of SentencePiece give the ids that the library gives."""

import json
from pathlib import Path

import pytest
import tokenizers

from pretrainjax.data.tokenizer import SPECIALS
from pretrainjax.errors import UserError
from pretrainjax.prepare.text.sentencepiece import tokenizer_json_of
from pretrainjax.prepare.text.training import existing

MODELS = Path(__file__).parent / "sentencepiece_models"
EXPECTED = json.loads((MODELS / "expected.json").read_text())


@pytest.mark.parametrize("name", EXPECTED["ids"])
def test_the_same_ids_as_the_library(name):
  made = tokenizers.Tokenizer.from_str(tokenizer_json_of(MODELS / f"{name}.model"))
  for text, ids in zip(EXPECTED["texts"], EXPECTED["ids"][name], strict=True):
    if "<s>" not in text:  # runs of unknown letters are cut where a special token is spelt
      assert made.encode(text, add_special_tokens=False).ids == ids, text


@pytest.mark.parametrize("name", EXPECTED["ids"])
def test_it_serves_as_a_tokenizer(name):
  found = existing(MODELS / f"{name}.model")
  assert all(found.special_id(special) is not None for special in SPECIALS)
  special = {found.special_id(s) for s in SPECIALS} - {found.unknown_id}
  assert not special & set(found.encode("a <s> that </s> is spelt"))
  assert found.decode(found.encode("the state of our union")) == "the state of our union"
  starts = found.starts_word[found.encode("the state of our union")]
  assert starts[0] and starts.sum() == 5


def test_bytes_stand_in_for_unknown_letters():
  found = existing(MODELS / "bpe_bytes.model")
  text = "caf\u00e9  \u4f60\u597d\n"
  assert found.decode(found.encode(text)) == text


def test_what_is_no_model_is_refused(tmp_path):
  path, whole = tmp_path / "a.model", (MODELS / "bpe.model").read_bytes()
  for data in (b"", b"nonsense", whole[:700], b"\xff" * 40, b"\x0a\xff\xff\xff\xff\x7f"):
    path.write_bytes(data)
    with pytest.raises(UserError, match="is no SentencePiece model"):
      tokenizer_json_of(path)
  with pytest.raises(UserError, match="none.model' cannot be read"):
    existing(tmp_path / "none.model")
