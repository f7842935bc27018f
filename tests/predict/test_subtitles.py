import json

from pretrainjax.predict.ctc_words import Word
from pretrainjax.predict.subtitles import FORMS, Transcript, lines_of

WORDS = (Word("a", 0.25, 0.5), Word("<b>", 0.6, 1.0), Word("c", 2.0, 3661.5))


def written(form):
  return FORMS[form](Transcript("talk.wav", 3662.0, WORDS))


def test_subtitles():
  assert written("srt") == (
    "1\n00:00:00,250 --> 00:00:01,000\na <b>\n\n2\n00:00:02,000 --> 01:01:01,500\nc\n\n"
  )
  assert written("vtt") == (
    "WEBVTT\n\n00:00:00.250 --> 00:00:01.000\na &lt;b&gt;\n\n00:00:02.000 --> 01:01:01.500\nc\n"
  )


def test_text_and_json():
  assert written("txt") == "a <b> c\n"
  found = json.loads(written("json"))
  assert found["text"] == "a <b> c" and found["file"] == "talk.wav" and found["seconds"] == 3662.0
  assert found["words"][1] == {"word": "<b>", "begin": 0.6, "end": 1.0}


def test_nothing_said():
  silent = Transcript("a.wav", 1.0, ())
  assert [FORMS[form](silent) for form in ("txt", "srt", "vtt")] == ["\n", "", "WEBVTT\n"]


def test_lines_are_short_enough_to_read():
  words = [Word("word" * 3, i / 2, i / 2 + 0.4) for i in range(100)]
  lines = list(lines_of(words))
  assert [word for line in lines for word in line] == words
  for line in lines:
    assert sum(len(word.text) + 1 for word in line) <= 85 and line[-1].end - line[0].begin <= 7
  long = [Word("w" * 200, 0.0, 20.0)]
  assert list(lines_of(long)) == [long]  # one word is never cut
