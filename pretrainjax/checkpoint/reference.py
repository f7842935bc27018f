"""References to trained networks: RUN[@STEP][:PART], hf:FOLDER[:PART] or ct2:FOLDER[:PART]."""

import dataclasses
import os
import re
from pathlib import Path
from typing import Literal

from pretrainjax.errors import UserError
from pretrainjax.user_path import user_path

_FORM = re.compile(r"(.*?)(?:@([0-9]{1,18}))?(?::([A-Za-z_]\w*))?", flags=re.ASCII | re.DOTALL)

Source = Literal["run", "hf", "ct2"]
# What begins references to models of others.
_THEIRS: dict[str, Source] = {"hf:": "hf", "ct2:": "ct2"}


@dataclasses.dataclass(frozen=True)
class Reference:
  """A run, with a step and a part of what it trained where these were named; or a model of theirs.

  Attributes:
    folder: the folder of the run, or of the model, or the model's name on their hub.
    step: the step of the checkpoint; None is the newest intact one.
    part: the name of a part, a key of `Objective.parts`; None where none was named.
    source: "run" for a run of ours, "hf" for a model that transformers wrote, "ct2" for one of
      CTranslate2.

  >>> reference = Reference.parse("runs/t5@500:decoder")
  >>> reference.step, reference.part, str(reference)
  (500, 'decoder', 'runs/t5@500:decoder')
  >>> reference = Reference.parse("hf:google/vit-base:encoder")
  >>> reference.source, reference.folder.as_posix(), reference.part
  ('hf', 'google/vit-base', 'encoder')
  """

  folder: Path
  step: int | None = None
  part: str | None = None
  source: Source = "run"

  @classmethod
  def parse(cls, text: str | Path, *, step: int | None = None) -> "Reference":
    """Parses a reference that a user typed.

    Only "@" and digits, and ":" and a name, at the end are a step and a part. A folder whose name
    ends so goes first: "a@5", where there is one, else step 5 of "a".

    Args:
      text: the reference, RUN[@STEP][:PART], hf:FOLDER[:PART] or ct2:FOLDER[:PART]; "~" is the
        home folder.
      step: the same as @STEP, for callers in Python.

    Raises:
      UserError: where two steps differ, or a step of theirs is asked for.
    """
    text = str(text)
    for prefix, source in _THEIRS.items():
      if text.startswith(prefix):
        return cls._of_theirs(text, prefix, source, step)
    folder, at, part = _split(str(user_path(text)))
    if at is not None and step not in (None, at):
      raise UserError(f"'{text}': found step {at} and step={step}, expected one of them")
    return cls(Path(folder), step if at is None else at, part)

  @classmethod
  def _of_theirs(cls, text: str, prefix: str, source: Source, step: int | None) -> "Reference":
    folder, at, part = _split(str(user_path(text.removeprefix(prefix))))
    if at is not None or step is not None:
      raise UserError(f"'{text}': found a step, expected {prefix}FOLDER[:PART]")
    return cls(Path(folder), None, part, source)

  @property
  def whole(self) -> "Reference":
    """The reference without its part."""
    return dataclasses.replace(self, part=None)

  @property
  def noun(self) -> Literal["run", "model"]:
    """What it is in a word: what others trained is a model."""
    return "run" if self.source == "run" else "model"

  def __str__(self) -> str:
    theirs = "" if self.source == "run" else f"{self.source}:"
    at = "" if self.step is None else f"@{self.step}"
    return f"{theirs}{self.folder}{at}{f':{self.part}' if self.part else ''}"


def _split(text: str) -> tuple[str, int | None, str | None]:
  """The folder, step and part of a reference; as much of it as is there is the folder."""
  folder, at, part = _FORM.fullmatch(text).groups()
  step = None if at is None else int(at)
  if text == folder or os.path.isdir(text):
    return text, None, None
  before_part = text if part is None else text[: -len(f":{part}")]
  if step is None or os.path.isdir(before_part):
    return before_part, None, part
  return folder, step, part
