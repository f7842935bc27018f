"""Words of KTuberling, by language."""

import sound_packages

from pretrainjax.prepare.audio.sets.ktuberling import Source


def test_words_and_languages(tmp_path):
  root = sound_packages.unpack(tmp_path)
  for options, labels in (
    ({"label": "language"}, {"de/ball.ogg": "de", "fr/ball.ogg": "fr"}),
    ({"label": "word", "languages": ("de",)}, {"de/ball.ogg": "ball"}),
  ):
    with Source(source=str(root), **options).open(root) as corpus:
      found = [sound for part in corpus.parts() for sound in part.records()]
    assert {sound.key: sound.facts.label for sound in found} == labels
  assert dict(found[0].facts.strings) == {"language": "de", "word": "ball"}
