"""Letters and syllables of KLettres."""

import sound_packages

from pretrainjax.prepare.audio.sets.klettres import Source


def test_letters_and_syllables(tmp_path):
  root = sound_packages.unpack(tmp_path)
  for options, labels in (
    ({}, {"cs/alpha/a.ogg": None, "de/alpha/a.ogg": None, "de/syllab/ab.ogg": None}),
    ({"kind": "letters", "label": "letter"}, {"cs/alpha/a.ogg": "a", "de/alpha/a.ogg": "a"}),
    ({"kind": "syllables", "label": "language"}, {"de/syllab/ab.ogg": "de"}),
    ({"languages": ("cs",), "label": "letter"}, {"cs/alpha/a.ogg": "a"}),
  ):
    with Source(source=str(root), **options).open(root) as corpus:
      found = [sound for part in corpus.parts() for sound in part.records()]
    assert {sound.key: sound.facts.label for sound in found} == labels
