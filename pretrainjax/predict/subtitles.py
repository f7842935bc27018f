"""Transcripts as files: text, subtitles (SubRip, WebVTT), and JSON with the time of each word."""

import html
import json
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from pretrainjax.predict.transcription import Word

# A subtitle: letters of two lines, seconds on the screen, and the pause that ends it.
_LETTERS, _SECONDS, _PAUSE = 84, 7.0, 0.8


class Transcript(NamedTuple):
  """What was said in a sound.

  Attributes:
    name: what the sound is called.
    seconds: the length of the sound.
    words: its words, in order.
  """

  name: str
  seconds: float
  words: Sequence[Word]

  @property
  def text(self) -> str:
    """All words, with spaces between them."""
    return " ".join(word.text for word in self.words)


def lines_of(words: Sequence[Word]) -> Iterator[list[Word]]:
  """Cuts words into subtitles: at a pause, and where one would be too long to read."""
  line: list[Word] = []
  for word in words:
    letters = sum(len(one.text) + 1 for one in line) + len(word.text)
    if line and (
      word.begin - line[-1].end > _PAUSE
      or letters > _LETTERS
      or word.end - line[0].begin > _SECONDS
    ):
      yield line
      line = []
    line.append(word)
  if line:
    yield line


def _txt(transcript: Transcript) -> str:
  """The text alone, on one line."""
  return f"{transcript.text}\n"


def _srt(transcript: Transcript) -> str:
  """Subtitles of SubRip."""
  return "".join(
    f"{number}\n{_span(line, ',')}\n{_text(line)}\n\n"
    for number, line in enumerate(lines_of(transcript.words), start=1)
  )


def _vtt(transcript: Transcript) -> str:
  """Subtitles of WebVTT."""
  cues = (
    f"\n{_span(line, '.')}\n{html.escape(_text(line), quote=False)}\n"
    for line in lines_of(transcript.words)
  )
  return "".join(["WEBVTT\n", *cues])


def _json(transcript: Transcript) -> str:
  """The text, and all words with their times in seconds."""
  found: dict[str, Any] = {
    "file": transcript.name,
    "seconds": round(transcript.seconds, 3),
    "text": transcript.text,
    "words": [
      {"word": word.text, "begin": round(word.begin, 3), "end": round(word.end, 3)}
      for word in transcript.words
    ],
  }
  return json.dumps(found, ensure_ascii=False, indent=1) + "\n"


# What is written, by the suffix of its file.
FORMS = {"txt": _txt, "srt": _srt, "vtt": _vtt, "json": _json}


def clock(seconds: float, mark: str) -> str:
  """A time as subtitles have it.

  Args:
    seconds: at least 0.
    mark: what stands before the thousandths.

  >>> clock(3725.0416, ",")
  '01:02:05,042'
  """
  thousandths = round(seconds * 1000)
  minutes, rest = divmod(thousandths, 60_000)
  return f"{minutes // 60:02d}:{minutes % 60:02d}:{rest // 1000:02d}{mark}{rest % 1000:03d}"


def _span(line: Sequence[Word], mark: str) -> str:
  return f"{clock(line[0].begin, mark)} --> {clock(line[-1].end, mark)}"


def _text(line: Sequence[Word]) -> str:
  return " ".join(word.text for word in line)
