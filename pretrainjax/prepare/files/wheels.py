"""Files of a package of PyPI: out of a wheel, which is read as the archive it is, or downloaded."""

import sys
import zipfile
from collections.abc import Sequence
from pathlib import Path

from pretrainjax.prepare.files.places import Unavailable, run
from pretrainjax.untrusted import open_file

_MAX_BYTES = 1 << 28


def downloaded(requirement: str, work: Path) -> Path:
  """Downloads a wheel, and nothing that it depends on; nothing of it is installed or run.

  Args:
    requirement: the package with its version, "recbole==1.2.1".
    work: a folder for it.

  Raises:
    Unavailable: without pip, the package or the network.
  """
  work.mkdir(parents=True, exist_ok=True)
  options = ["--no-deps", "--only-binary=:all:", "--quiet", "--disable-pip-version-check"]
  run([sys.executable, "-m", "pip", "download", *options, "--dest", str(work), requirement], work)
  wheels = sorted(work.glob("*.whl"))
  if not wheels:
    raise Unavailable("pip download left no wheel")
  return wheels[0]


def files_of_wheel(wheel: Path, names: Sequence[str], target: Path) -> Path:
  """Unpacks some files of a wheel into a folder, by their last names, and returns it.

  Args:
    wheel: the path of the wheel.
    names: the files' paths in it.
    target: the folder that they go to.

  Raises:
    Unavailable: for what is no wheel, lacks one of them, or holds one that is absurdly large.
  """
  target.mkdir(parents=True, exist_ok=True)
  try:
    with open_file(wheel) as file, zipfile.ZipFile(file) as archive:
      for name in names:
        with archive.open(name) as packed:
          data = packed.read(_MAX_BYTES + 1)
        if len(data) > _MAX_BYTES:
          raise Unavailable(f"{wheel.name}: {name} has more than {_MAX_BYTES >> 20} MiB")
        (target / Path(name).name).write_bytes(data)
  except KeyError as error:
    raise Unavailable(f"{wheel.name}: {' '.join(str(error.args[0]).split())}") from error
  except (OSError, ValueError, zipfile.BadZipFile, NotImplementedError, EOFError) as error:
    raise Unavailable(f"{wheel.name}: is no wheel that can be read ({error})") from error
  return target
