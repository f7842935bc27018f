"""WordNet 3.0: 117,659 pairs of a definition and the words that it defines, in 45 classes."""

import contextlib
import dataclasses
import hashlib
import io
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path

from pretrainjax.prepare.contract import Corpus, Part, Unreadable
from pretrainjax.prepare.files.debian import files_of_package
from pretrainjax.prepare.files.places import Unavailable, first_of
from pretrainjax.prepare.text.cleaning import Cleaning
from pretrainjax.prepare.text.document import Document
from pretrainjax.prepare.text.form import Form
from pretrainjax.prepare.text.preparation import TextPreparation
from pretrainjax.untrusted import open_file
from pretrainjax.user_path import user_path

PACKAGE = "wordnet-base"
FOLDER = Path("/usr/share/wordnet")
_FILES = ("data.noun", "data.verb", "data.adj", "data.adv")
# The lexicographer files, by number: lexnames(5WN).
CLASS_NAMES = tuple(
  (
    "adj.all adj.pert adv.all noun.Tops noun.act noun.animal noun.artifact noun.attribute "
    "noun.body noun.cognition noun.communication noun.event noun.feeling noun.food noun.group "
    "noun.location noun.motive noun.object noun.person noun.phenomenon noun.plant "
    "noun.possession noun.process noun.quantity noun.relation noun.shape noun.state "
    "noun.substance noun.time verb.body verb.change verb.cognition verb.communication "
    "verb.competition verb.consumption verb.contact verb.creation verb.emotion verb.motion "
    "verb.perception verb.possession verb.social verb.stative verb.weather adj.ppl"
  ).split()
)
_LONGEST_LINE = 1 << 20  # the longest one of WordNet 3.0 has 15,000
_EXAMPLES = re.compile(r';\s*"|^"')
_MARKER = re.compile(r"\((?:p|a|ip)\)$")  # of an adjective: where it may stand


@dataclasses.dataclass(frozen=True)
class Source:
  """Reads the data files, one synset a line.

  Attributes:
    source: folder that holds data.noun and so on; None looks in the Debian package's place, then
      downloads the package without root.
    examples: whether sentences that show a word in use stay behind its definition; most of them
      contain the word itself.
  """

  source: str | None = None
  examples: bool = False

  name = "wordnet"
  preparation = TextPreparation(cleaning=Cleaning(repetition=False), form=Form(kind="examples"))

  @contextlib.contextmanager
  def open(self, data_dir: Path) -> Iterator[Corpus]:
    """Yields (definition, words) with the lexicographer file as the class.

    Raises:
      UserError: where no place has it.
    """
    with tempfile.TemporaryDirectory(prefix="wordnet_") as temporary:
      places = {
        str(FOLDER): lambda: check_folder(FOLDER),
        f"apt-get download {PACKAGE}": lambda: check_folder(
          files_of_package(PACKAGE, Path(temporary)) / FOLDER.relative_to("/")
        ),
      }
      if self.source is not None:
        places = {f"--source={self.source}": lambda: check_folder(user_path(self.source or ""))}
      how = f"as root `apt-get install {PACKAGE}`, or pass --source=FOLDER with data.noun in it"
      folder = first_of(places, what="WordNet", how=how)
      sizes = {name: (folder / name).stat().st_size for name in _FILES}
      yield Corpus(
        origin=f"WordNet of Debian's {PACKAGE}",
        identity=hashlib.sha256(repr(sizes).encode()).hexdigest(),
        size=sum(sizes.values()),
        parts=lambda: (self._part(folder / name) for name in _FILES),
        class_names=CLASS_NAMES,
      )

  def _part(self, path: Path) -> Part:
    def records() -> Iterator[Document | Unreadable]:
      with io.TextIOWrapper(open_file(path), encoding="utf-8", errors="replace") as lines:
        for number, line in enumerate(iter(lambda: lines.readline(_LONGEST_LINE), ""), 1):
          if line[:1].isdigit():  # the licence is indented
            yield synset(line, key=f"{path.name}:{number}", examples=self.examples)

    return Part(path.name, path.stat().st_size, records)


def synset(line: str, *, key: str, examples: bool) -> Document | Unreadable:
  """Reads one line of a data file as a pair of definition and words; see wndb(5WN)."""
  fields, _, gloss = line.partition("|")
  try:
    offset, number, kind, count, *rest = fields.split()
    words = [_MARKER.sub("", word).replace("_", " ") for word in rest[: 2 * int(count, 16) : 2]]
    label = CLASS_NAMES[_place(number)]
  except (ValueError, IndexError):
    return Unreadable(key, "no synset")
  gloss = gloss.strip()
  if not examples:
    gloss = _EXAMPLES.split(gloss, maxsplit=1)[0].strip()
  return Document(f"{kind}{offset}", gloss, second=", ".join(words), label=label)


def _place(number: str) -> int:
  """A number in decimal digits; int() takes a sign, too."""
  if not number.isdecimal():
    raise ValueError(number)
  return int(number)


def check_folder(folder: Path) -> Path:
  """Returns `folder` if it holds the four files."""
  if not folder.is_dir():
    raise Unavailable("no such folder")
  missing = [name for name in _FILES if not (folder / name).is_file()]
  if missing:
    raise Unavailable(f"lacks {', '.join(missing)}")
  return folder
