"""What disks and people do to files."""

import random
from pathlib import Path


def array_files(step: Path, process: int = 0) -> list[Path]:
  """The files of a step's arrays that a process wrote, the largest first."""
  files = (step / "state" / f"ocdbt.process_{process}" / "d").iterdir()
  return sorted(files, key=lambda path: (-path.stat().st_size, path.name))


def array_data(step: Path, process: int = 0) -> Path:
  """The largest of them; Orbax reads a flipped bit there."""
  return array_files(step, process)[0]


def flip(path: Path, chance: random.Random | None = None) -> None:
  """Turns one bit of a file: in its middle, or where chance says."""
  data = bytearray(path.read_bytes())
  place = chance.randrange(len(data)) if chance else len(data) // 2
  data[place] ^= 1 << (chance.randrange(8) if chance else 2)
  path.write_bytes(data)


def truncate(path: Path) -> None:
  """Leaves the first half of a file."""
  data = path.read_bytes()
  path.write_bytes(data[: len(data) // 2])
