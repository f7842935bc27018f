"""Files of a Debian package, downloaded and unpacked without root."""

import contextlib
from pathlib import Path

from pretrainjax.prepare.files.places import Unavailable, require, run

_HTTP_SECONDS = 20


def files_of_package(package: str, work: Path) -> Path:
  """Downloads a package and unpacks it inside of `work`.

  Args:
    package: the name of the Debian package.
    work: a folder for all that this needs.

  Returns:
    What would be "/" if the package were installed.

  Raises:
    Unavailable: without the tools, the package or the network.
  """
  require("apt-get", "dpkg-deb")
  for part in ("state/lists/partial", "cache/archives/partial", "deb"):
    (work / part).mkdir(parents=True, exist_ok=True)
  # Lists and caches of our own; the machine's sources (Dir::Etc) stay in force. The sandbox user
  # could not write here.
  private = [
    "-o",
    f"Dir::State={work}/state",
    "-o",
    "Dir::State::status=/var/lib/dpkg/status",
    "-o",
    f"Dir::Cache={work}/cache",
  ]
  try:
    _apt(["download", package], work / "deb")
  except Unavailable:  # the machine's lists are empty or old
    # One unreachable repository among several makes update fail and still leaves good lists.
    with contextlib.suppress(Unavailable):
      _apt([*private, "update"], work / "deb")
    _apt([*private, "download", package], work / "deb")
  packages = list((work / "deb").glob("*.deb"))
  if not packages:
    raise Unavailable("apt-get download left no package")
  run(["dpkg-deb", "-x", str(packages[0]), str(work / "files")], work)
  return work / "files"


def _apt(arguments: list[str], folder: Path) -> None:
  options = ("-q", "-o", "APT::Sandbox::User=", "-o", f"Acquire::http::Timeout={_HTTP_SECONDS}")
  run(["apt-get", *options, "-o", "Acquire::Retries=1", *arguments], folder)
