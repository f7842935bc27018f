"""References to trained networks, as users type them: RUN, RUN@STEP, RUN:PART, RUN@STEP:PART."""

import dataclasses
import os
import re
from pathlib import Path

from pretrainjax.errors import UserError
from pretrainjax.user_path import user_path

_FORM = re.compile(r"(.*?)(?:@([0-9]{1,18}))?(?::([A-Za-z_]\w*))?", flags=re.ASCII | re.DOTALL)


@dataclasses.dataclass(frozen=True)
class Reference:
  """A run, with a step and a part of what it trained where these were named.

  Attributes:
    folder: the folder of the run.
    step: the step of the checkpoint; None is the newest intact one.
    part: the name of a part, a key of `Objective.parts`; None where none was named.

  >>> reference = Reference.parse("runs/t5@500:decoder")
  >>> reference.step, reference.part, str(reference)
  (500, 'decoder', 'runs/t5@500:decoder')
  """

  folder: Path
  step: int | None = None
  part: str | None = None

  @classmethod
  def parse(cls, text: str | Path, *, step: int | None = None) -> "Reference":
    """Parses a reference that a user typed.

    Only "@" and digits, and ":" and a name, at the end are a step and a part. A folder whose name
    ends so goes first: "a@5", where there is one, else step 5 of "a".

    Args:
      text: the reference, RUN[@STEP][:PART]; "~" is the home folder.
      step: the same as @STEP, for callers in Python.

    Raises:
      UserError: where two steps differ.
    """
    folder, at, part = _split(str(user_path(text)))
    if at is not None and step not in (None, at):
      raise UserError(f"'{text}': found step {at} and step={step}, expected one of them")
    return cls(Path(folder), step if at is None else at, part)

  def __str__(self) -> str:
    at = "" if self.step is None else f"@{self.step}"
    return f"{self.folder}{at}{f':{self.part}' if self.part else ''}"


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
