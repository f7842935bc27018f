"""Which column of a table says what of a sound file: named by the user, or guessed and told."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from pretrainjax.errors import UserError
from pretrainjax.prepare.audio.example import Facts
from pretrainjax.prepare.split_names import split_of_name
from pretrainjax.prepare.text.fields import value_at

# Names that columns have: Common Voice's, LibriSpeech's manifests, NeMo's, Hugging Face's.
_NAMES = {
  "path": "path file_name filename file audio audio_path audio_filepath audio_file wav wav_path"
  " wav_filename filepath clip id utt_id utterance_id",
  "text": "sentence transcript transcription text normalized_text caption utterance phrase",
  "speaker": "speaker client_id speaker_id spk spk_id speaker_name",
  "label": "label class category command intent emotion keyword",
  "split": "split subset partition set",
  "transcriber": "transcriber",
}
_ROLES = tuple(_NAMES)
_LONGEST_NAME = 1000


@dataclasses.dataclass(frozen=True)
class AudioFields:
  """Names of columns or fields; None is guessed.

  Attributes:
    path: the path of the sound file, or its name, with suffix or without.
    text: the transcript, as it is written.
    speaker: the name of who speaks.
    label: the name of the class.
    split: the name of the split, in any usual form.
    transcriber: who or what wrote the transcript, stored with it: `predict transcribe` says
      "machine: " and which model.
    keep: further ones that are stored as strings.
  """

  path: str | None = None
  text: str | None = None
  speaker: str | None = None
  label: str | None = None
  split: str | None = None
  transcriber: str | None = None
  keep: tuple[str, ...] = ()

  def completed(
    self, rows: Sequence[Mapping[str, Any]], *, names_file: Callable[[Any], bool], file: str
  ) -> "AudioFields | None":
    """The fields with a guess for each that is None and that the rows have.

    Args:
      rows: the first records of a table.
      names_file: whether a value names a sound file.
      file: the name of the table, for messages.

    Returns:
      None where no column names sound files: then it is no table of them.

    Raises:
      UserError: for a column that was named and is not there.
    """
    columns = list(dict.fromkeys(name for row in rows for name in row))
    for role in (*_ROLES, "keep"):
      named = getattr(self, role)
      for name in named if role == "keep" else filter(None, [named]):
        if all(value_at(row, name) is None for row in rows):
          raise UserError(
            f"--config.source.fields.{role}: '{file}' has no '{name}', but {', '.join(columns)}"
          )
    path = self.path or _column_of_files(rows, columns, names_file)
    if path is None:
      return None
    guesses = {
      role: getattr(self, role) or _named(columns, role, taken=path)
      for role in _ROLES
      if role != "path"
    }
    if guesses["text"] is None and guesses["label"] is None:
      guesses["text"] = _last_words(rows, columns, path)
    return dataclasses.replace(self, path=path, **guesses)

  def are_named_in(self, record: Mapping[str, Any]) -> bool:
    """Whether what was taken for a first row without names holds the names of columns."""
    named = [getattr(self, role) for role in _ROLES]
    known = {name for names in _NAMES.values() for name in names.split()}
    cells = {str(value).strip() for value in record.values()}
    has_names = bool({cell.lower() for cell in cells} & known) or bool(cells & {*named, *self.keep})
    return all(name.isdigit() for name in record) and has_names

  def described(self) -> str:
    """The fields in words."""
    pairs = ((role, getattr(self, role)) for role in _ROLES)
    return ", ".join(f"{role}={name}" for role, name in pairs if name is not None)

  def facts(self, record: Mapping[str, Any]) -> Facts:
    """What a record says."""
    strings = {name: value for name in self.keep if (value := _line(record, name)) is not None}
    for role in ("speaker", "transcriber"):
      if (found := _line(record, getattr(self, role))) is not None:
        strings[role] = found
    split = _line(record, self.split)
    return Facts(
      label=_line(record, self.label),
      text=_text(record, self.text),
      split=None if split is None else split_of_name(split),
      strings=strings,
    )


def _column_of_files(
  rows: Sequence[Mapping[str, Any]], columns: Sequence[str], names_file: Callable[[Any], bool]
) -> str | None:
  """The column of which most values name files; of equals that of the usual name."""
  usual = _NAMES["path"].split()
  shares = {name: sum(names_file(row.get(name)) for row in rows) / len(rows) for name in columns}
  ranked = sorted(columns, key=lambda name: (-shares[name], name.lower() not in usual))
  return ranked[0] if ranked and shares[ranked[0]] > 0 else None


def _named(columns: Sequence[str], role: str, *, taken: str) -> str | None:
  lowered = {name.lower(): name for name in reversed(columns) if name != taken}
  return next((lowered[name] for name in _NAMES[role].split() if name in lowered), None)


def _last_words(rows: Sequence[Mapping[str, Any]], columns: Sequence[str], path: str) -> str | None:
  """Of columns without names, "1", "2" and so on, the last but the path: LJSpeech's metadata."""
  others = [name for name in columns if name != path and name.isdigit()]
  return others[-1] if others and all(name.isdigit() for name in columns) else None


def _text(record: Mapping[str, Any], name: str | None) -> str | None:
  value = None if name is None else value_at(record, name)
  return value if isinstance(value, str) and value.strip() and _is_utf8(value) else None


def _line(record: Mapping[str, Any], name: str | None) -> str | None:
  """A value as a name on one line; None for what is none."""
  value = None if name is None else value_at(record, name)
  if isinstance(value, bool):
    return str(value).lower()
  found = str(value).strip() if isinstance(value, (str, int)) else ""
  is_name = found.isprintable() and len(found) <= _LONGEST_NAME and _is_utf8(found)
  return found if found and is_name else None


def _is_utf8(text: str) -> bool:
  return not any("\ud800" <= letter <= "\udfff" for letter in text)
