"""Synsets become pairs of a definition and its words."""

import pytest

from pretrainjax.errors import UserError
from pretrainjax.prepare.contract import Unreadable
from pretrainjax.prepare.text.document import Document
from pretrainjax.prepare.text.sets.wordnet import CLASS_NAMES, Source, synset

NOUN = '00002684 03 n 02 object 0 physical_object 0 001 @ 00001930 n 0000 | a thing; "a big object"'
ADJECTIVE = "00001 01 s 01 galore(ip) 0 000 | in great numbers"


def test_definitions_words_and_classes():
  assert synset(NOUN, key="k", examples=False) == Document(
    "n00002684", "a thing", second="object, physical object", label="noun.Tops"
  )
  assert synset(NOUN, key="k", examples=True).text == 'a thing; "a big object"'
  assert synset(ADJECTIVE, key="k", examples=False).second == "galore"
  assert synset("00001 99 n 01 x", key="k", examples=False) == Unreadable("k", "no synset")
  assert len(set(CLASS_NAMES)) == 45 and CLASS_NAMES[29] == "verb.body"


def test_a_folder(tmp_path):
  for name in ("data.noun", "data.verb", "data.adj", "data.adv"):
    (tmp_path / name).write_text(f"  1 The licence.\n{ADJECTIVE if name == 'data.adj' else NOUN}\n")
  with Source(str(tmp_path)).open(tmp_path) as corpus:
    found = [record for part in corpus.parts() for record in part.records()]
  assert [document.label for document in found] == ["noun.Tops"] * 2 + ["adj.pert", "noun.Tops"]
  (tmp_path / "data.adv").unlink()
  with pytest.raises(UserError, match="WordNet was not found; .*lacks data.adv"):
    with Source(str(tmp_path)).open(tmp_path):
      pass
