"""References to trained networks, as users type them: RUN, RUN@STEP, RUN:PART, RUN@STEP:PART."""

import dataclasses
import re
from pathlib import Path

from pretrainjax.errors import UserError

_FORM = re.compile(r"([^@]*?)(?:@([0-9]{1,18}))?(?::([A-Za-z_]\w*))?", flags=re.ASCII)


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

    Args:
      text: the reference as it was typed, RUN[@STEP][:PART].
      step: the same as @STEP, for callers in Python.

    Raises:
      UserError: where STEP is no number, or two differ.
    """
    found = _FORM.fullmatch(str(text))
    folder, at, part = found.groups() if found else ("", None, None)
    if not found or (at and step not in (None, int(at))):
      typed = str(text).partition("@")[2]
      raise UserError(
        f"'{text}': found step '{typed}', expected WORKDIR[@STEP][:PART] with one number"
      )
    return cls(Path(folder), int(at) if at else step, part)

  def __str__(self) -> str:
    at = "" if self.step is None else f"@{self.step}"
    return f"{self.folder}{at}{f':{self.part}' if self.part else ''}"
