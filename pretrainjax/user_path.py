"""Paths as users type them."""

import os
from pathlib import Path


def user_path(text: str | os.PathLike) -> Path:
  """The path that a user typed: "~" at its beginning is the home folder.

  A shell puts it in by itself, but not behind the = of a flag, and not in a config file. What names
  no user is left as it is.

  >>> user_path("~/runs") == Path.home() / "runs", user_path("a/~b").as_posix()
  (True, 'a/~b')
  """
  return Path(os.path.expanduser(text))
