"""Records of a .json: an array of them, an object that holds one array, or lines as in .jsonl."""

import codecs
import io
import json
import re
from collections.abc import Iterator
from typing import Any

from pretrainjax.data.records import LONGEST_LINE, lines, parsed

_CHUNK = 1 << 20
_GAP = re.compile(r"[\s,]*")
# The beginning of an object with SQuAD's articles, which may be larger than a line.
_ARTICLES = re.compile(rb'\s*\{\s*("version"\s*:\s*"?[^"{\[]{0,99}"?\s*,\s*)?"data"\s*:\s*\[\s*\{')


def json_records(file: io.BufferedReader) -> Iterator[Any]:
  """The records of a file in its order, or as a string what is wrong with one.

  Args:
    file: from its beginning, in UTF-8; of an array never more than some records are in memory.
  """
  head = file.peek(_CHUNK)
  if head.lstrip().startswith(b"[") or (_ARTICLES.match(head) and b'"paragraphs"' in head):
    yield from _array(file)
    return
  first = next(lines(file), b"")
  record = parsed(first)
  if isinstance(record, dict):  # a whole object in one line: others may follow
    rest = (line for line in lines(file) if line is None or line.strip())
    second = next(rest, b"")
    if second == b"":
      yield from _of_object(record)
      return
    yield record
    yield parsed(second)
    yield from map(parsed, rest)
    return
  whole = b"" if first is None else first + file.read(LONGEST_LINE)
  if first is None or len(whole) > LONGEST_LINE:
    yield f"object of more than {LONGEST_LINE >> 20} MiB"
    return
  record = parsed(whole)
  yield from _of_object(record) if isinstance(record, dict) else [record]


def _of_object(record: dict[str, Any]) -> Iterator[Any]:
  """The records of the one array that an object holds, else the object."""
  arrays = [value for value in record.values() if isinstance(value, list)]
  records = arrays[0] if len(arrays) == 1 and len(arrays[0]) > 0 else None
  if records is not None and all(isinstance(value, dict) for value in records):
    is_chat = all({"role", "from"} & set(value) for value in records)
    yield from [record] if is_chat else records
    return
  yield record


def _array(file: io.BufferedReader) -> Iterator[Any]:
  utf8, json_decoder = codecs.getincrementaldecoder("utf-8")(), json.JSONDecoder()
  text, place, end, is_last = "", 0, 0, False
  is_begun = False
  while True:
    record, is_whole = None, False
    if is_begun:
      place = _GAP.match(text, place).end()  # pyright: ignore[reportOptionalMemberAccess]
      if text.startswith("]", place):
        return
      try:
        record, end = json_decoder.raw_decode(text, place)
        is_whole = end < len(text)  # or more digits of a number may follow
      except (ValueError, RecursionError):
        pass
    if is_whole:
      yield "not a record of fields" if isinstance(record, str) else record
      place = end
      continue
    if is_last or len(text) - place > LONGEST_LINE:
      yield "not JSON"
      return
    data = file.read(max(_CHUNK, len(text) - place))
    try:
      text, place, is_last = text[place:] + utf8.decode(data, final=not data), 0, not data
    except UnicodeDecodeError:
      yield "not UTF-8"
      return
    if not is_begun and "[" in text:
      text, is_begun = text.partition("[")[2], True
