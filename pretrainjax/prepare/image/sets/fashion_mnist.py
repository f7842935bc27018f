"""Fashion-MNIST: 60,000 and 10,000 grey 28x28 images of ten kinds of clothes (arXiv 1708.07747)."""

import contextlib
import dataclasses
import hashlib
import http.client
import tempfile
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from pretrainjax.errors import UserError
from pretrainjax.prepare.contract import Corpus
from pretrainjax.prepare.files.debian import files_of_package
from pretrainjax.prepare.files.idx import read_labelled_images
from pretrainjax.prepare.files.places import Unavailable, first_of
from pretrainjax.prepare.image.example import array_corpus
from pretrainjax.prepare.image.preparation import ImagePreparation
from pretrainjax.user_path import user_path

CLASS_NAMES = (
  "T-shirt/top",
  "Trouser",
  "Pullover",
  "Dress",
  "Coat",
  "Sandal",
  "Shirt",
  "Sneaker",
  "Bag",
  "Ankle boot",
)
_INFO = {
  "description": "Zalando's article images: a drop-in replacement of MNIST (arXiv 1708.07747).",
  "homepage": "https://github.com/zalandoresearch/fashion-mnist",
  "license": "MIT",
}
_COUNTS = {"train": ("train", 60_000), "test": ("t10k", 10_000)}
FILES = {  # MD5 of the public files, by the dataset's README; Debian compresses them anew
  "train-images-idx3-ubyte.gz": "8d4fb7e6c68d591d4c3dfef9ec88bf0d",
  "train-labels-idx1-ubyte.gz": "25c81989df183df01b3e8a0aad5dffbe",
  "t10k-images-idx3-ubyte.gz": "bef4ecab320f06d8554ea6380940ec79",
  "t10k-labels-idx1-ubyte.gz": "bb300cfdad3c16e7a12a480ee83cd310",
}
DEBIAN_FOLDER = Path("/usr/share/datasets/fashion-mnist")
PACKAGE = "dataset-fashion-mnist"
PUBLIC_URL = "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com"
_HTTP_SECONDS = 20
_MAX_BYTES = 1 << 26


@dataclasses.dataclass(frozen=True)
class Source:
  """The source of Fashion-MNIST, four idx files.

  Attributes:
    source: folder that holds them; None looks in the Debian package's place, then downloads the
      package without root, then tries the public download.
  """

  source: str | None = None

  name = "fashion_mnist"
  preparation = ImagePreparation()

  @contextlib.contextmanager
  def open(self, data_dir: Path) -> Iterator[Corpus]:
    """Yields all examples.

    Raises:
      UserError: where no place has the files, or one is damaged.
    """
    splits = {}
    with find_folder(self.source) as folder:
      for split, (stem, count) in _COUNTS.items():
        path = folder / f"{stem}-images-idx3-ubyte.gz"
        images, labels = read_labelled_images(
          path, folder / f"{stem}-labels-idx1-ubyte.gz", num_classes=len(CLASS_NAMES)
        )
        if images.shape != (count, 28, 28, 1):
          raise UserError(f"{path}: holds {images.shape[:3]}, expected {count} images of 28x28")
        splits[split] = (images, labels)
      origin = str(folder)
    yield array_corpus(splits, class_names=CLASS_NAMES, origin=origin, info=_INFO)


@contextlib.contextmanager
def find_folder(folder: str | None, *, opener: Callable[..., Any] | None = None) -> Iterator[Path]:
  """Yields a folder with the four files, which may be gone afterwards.

  Args:
    folder: the user's own; where given, no other place is tried.
    opener: stands in for `urllib.request.urlopen`.

  Raises:
    UserError: when no place has them: each place with its reason, and how to get them.
  """
  with tempfile.TemporaryDirectory(prefix="fashion_mnist_") as temporary:
    places: dict[str, Callable[[], Path]] = {
      str(DEBIAN_FOLDER): lambda: check_folder(DEBIAN_FOLDER),
      f"apt-get download {PACKAGE}": lambda: from_apt(Path(temporary) / "apt"),
      PUBLIC_URL: lambda: _from_public_url(Path(temporary) / "public", opener=opener),
    }
    if folder is not None:
      places = {f"--source={folder}": lambda: check_folder(user_path(folder))}
    how = (
      f"as root `apt-get install {PACKAGE}`, or put {', '.join(FILES)} into a folder and pass "
      "--source=FOLDER; or go on with scikit-learn's 8x8 digits by --fallback=digits"
    )
    yield first_of(places, what="Fashion-MNIST", how=how)


def check_folder(folder: Path) -> Path:
  """Returns `folder` if it holds the four files."""
  if not folder.is_dir():
    raise Unavailable("no such folder")
  missing = [name for name in FILES if not (folder / name).is_file()]
  if missing:
    raise Unavailable(f"lacks {', '.join(missing)}")
  return folder


def from_apt(work: Path) -> Path:
  """Downloads and unpacks the Debian package without root, inside of `work`."""
  return check_folder(files_of_package(PACKAGE, work) / DEBIAN_FOLDER.relative_to("/"))


def _from_public_url(work: Path, *, opener: Callable[..., Any] | None = None) -> Path:
  """Downloads the four files, checked, into `work`."""
  opener = opener or urllib.request.urlopen
  work.mkdir(parents=True, exist_ok=True)
  for name, md5 in FILES.items():
    try:
      with opener(f"{PUBLIC_URL}/{name}", timeout=_HTTP_SECONDS) as response:
        data = response.read(_MAX_BYTES)  # a longer one has another MD5
    except (OSError, http.client.HTTPException) as error:  # also URLError and timeouts
      raise Unavailable(f"{name}: {error or type(error).__name__}") from error
    found = hashlib.md5(data, usedforsecurity=False).hexdigest()
    if found != md5:
      raise Unavailable(f"{name}: MD5 is {found}, expected {md5}")
    (work / name).write_bytes(data)
  return work
