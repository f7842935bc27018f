"""Captions of Tux Paint's stamps, with their words."""

import sound_packages

from pretrainjax.prepare.audio.sets.tuxpaint import Source


def test_captions_and_their_words(tmp_path):
  root = sound_packages.unpack(tmp_path)

  def read(**options) -> dict:
    with Source(source=str(root), **options).open(root) as corpus:
      return {sound.key: sound for part in corpus.parts() for sound in part.records()}

  found = read()
  assert {key: sound.facts.text for key, sound in found.items()} == {
    "animals/frog-2_desc.ogg": "frog.",
    "animals/frog_desc.ogg": "frog.",
    "animals/frog_desc_fr.ogg": "Une grenouille.",
  }  # of the bread nothing French is written down
  assert dict(found["animals/frog_desc_fr.ogg"].facts.strings) == {
    "language": "fr",
    "stamp": "animals/frog",
    "category": "animals",
  }
  groups = {key: sound.group for key, sound in found.items()}
  assert groups["animals/frog-2_desc.ogg"] == groups["animals/frog_desc.ogg"] == "en frog"
  stamps = read(split_by="stamp", languages=("en", "fr"), articles=True, label="language")
  assert {sound.group for sound in stamps.values()} == {"animals/frog", "animals/frog-2"}
  assert stamps["animals/frog_desc.ogg"].facts.text == "A frog."
  assert stamps["animals/frog_desc_fr.ogg"].facts.label == "fr"
  assert len(read(transcripts=False)) == 4
