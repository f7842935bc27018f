"""Where Fashion-MNIST is looked for, and what is said when it is nowhere."""

import hashlib
import io
import shutil

import pytest

from pretrainjax.errors import UserError
from pretrainjax.prepare.image.sets import fashion_mnist


def _fill(folder):
  folder.mkdir(parents=True, exist_ok=True)
  for name in fashion_mnist.FILES:
    (folder / name).write_bytes(b"x")
  return folder


@pytest.fixture
def nowhere(monkeypatch, tmp_path):
  """No place has it but those that a test opens."""
  monkeypatch.setattr(fashion_mnist, "DEBIAN_FOLDER", tmp_path / "debian")
  monkeypatch.setattr(shutil, "which", lambda tool: None)


def _offline(url, timeout):
  raise OSError("unreachable")


def test_a_given_folder_is_the_only_place(tmp_path, nowhere):
  with fashion_mnist.find_folder(str(_fill(tmp_path / "mine"))) as folder:
    assert folder == tmp_path / "mine"
  (tmp_path / "mine" / "t10k-labels-idx1-ubyte.gz").unlink()
  with pytest.raises(UserError, match="--source=.*lacks t10k-labels-idx1-ubyte.gz"):
    with fashion_mnist.find_folder(str(tmp_path / "mine")):
      pass


def test_the_debian_package_comes_first(tmp_path, nowhere):
  _fill(tmp_path / "debian")
  with fashion_mnist.find_folder(None, opener=_offline) as folder:
    assert folder == tmp_path / "debian"


def test_the_public_download_is_checked(tmp_path, nowhere, monkeypatch):
  def opener(url, timeout):
    return io.BytesIO(url.encode())

  with pytest.raises(UserError, match="MD5 is"):
    with fashion_mnist.find_folder(None, opener=opener):
      pass
  sums = {
    name: hashlib.md5(
      f"{fashion_mnist.PUBLIC_URL}/{name}".encode(), usedforsecurity=False
    ).hexdigest()
    for name in fashion_mnist.FILES
  }
  monkeypatch.setattr(fashion_mnist, "FILES", sums)
  with fashion_mnist.find_folder(None, opener=opener) as folder:
    assert sorted(p.name for p in folder.iterdir()) == sorted(sums)
  assert not folder.exists()  # it was temporary


def test_nowhere_names_every_place_and_the_way_out(nowhere):
  with pytest.raises(UserError) as caught:
    with fashion_mnist.find_folder(None, opener=_offline):
      pass
  message = str(caught.value)
  assert "\n" not in message
  for part in ("no such folder", "no apt-get on this machine", "unreachable", "--fallback=digits"):
    assert part in message
