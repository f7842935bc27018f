"""Transcripts as files: text, subtitles (SubRip, WebVTT), and JSON with times."""

import html
import json
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from pretrainjax.generation.whisper import Segment
from pretrainjax.predict.ctc_words import Word

# A subtitle: letters of two lines, seconds on the screen, and the pause that ends it.
_LETTERS, _SECONDS, _PAUSE = 84, 7.0, 0.8


class Transcript(NamedTuple):
  """What was said in a sound.

  Attributes:
    name: what the sound is called.
    seconds: the length of the sound.
    words: its words, in order, where their times are known.
    segments: else what was said in one go, in order.
    language: the code of the language; None where it is not known.
    transcriber: who or what wrote it down.
  """

  name: str
  seconds: float
  words: Sequence[Word] = ()
  segments: Sequence[Segment] | None = None
  language: str | None = None
  transcriber: str = ""

  @property
  def text(self) -> str:
    """All that was said, with spaces between words."""
    if self.segments is not None:
      return "".join(segment.text for segment in self.segments).strip()
    return " ".join(word.text for word in self.words)

  def cues(self) -> Iterator[Segment]:
    """What is on the screen at once: segments, or words that are read together."""
    if self.segments is not None:
      yield from (segment._replace(text=segment.text.strip()) for segment in self.segments)
      return
    for line in lines_of(self.words):
      yield Segment(" ".join(word.text for word in line), line[0].begin, line[-1].end)


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
    f"{number}\n{_span(cue, ',')}\n{cue.text}\n\n"
    for number, cue in enumerate(transcript.cues(), start=1)
  )


def _vtt(transcript: Transcript) -> str:
  """Subtitles of WebVTT."""
  cues = (
    f"\n{_span(cue, '.')}\n{html.escape(cue.text, quote=False)}\n" for cue in transcript.cues()
  )
  return "".join(["WEBVTT\n", *cues])


def _json(transcript: Transcript) -> str:
  """The text, and all words or segments with their times in seconds."""
  found: dict[str, Any] = {
    "file": transcript.name,
    "seconds": round(transcript.seconds, 3),
    "text": transcript.text,
  }
  if transcript.language is not None:
    found["language"] = transcript.language
  if transcript.segments is not None:
    found["segments"] = [_timed("text", cue) for cue in transcript.cues()]
  else:
    found["words"] = [_timed("word", word) for word in transcript.words]
  return json.dumps(found, ensure_ascii=False, indent=1) + "\n"


def _timed(name: str, part: Word | Segment) -> dict[str, Any]:
  return {name: part.text, "begin": round(part.begin, 3), "end": round(part.end, 3)}


def row(transcript: Transcript) -> dict[str, Any]:
  """The row of a transcript in a table, which `prepare` reads as what is said of a sound."""
  found = {
    "file_name": transcript.name,
    "text": transcript.text,
    "duration": round(transcript.seconds, 3),
    "transcriber": transcript.transcriber,
  }
  return found if transcript.language is None else found | {"language": transcript.language}


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


def _span(cue: Segment, mark: str) -> str:
  return f"{clock(cue.begin, mark)} --> {clock(cue.end, mark)}"
