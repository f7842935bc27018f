"""Sources are found where they lie: ours by a name, other people's by module and class."""

import dataclasses
import sys
import types

import pytest

from pretrainjax.errors import UserError
from pretrainjax.prepare.contract import Source
from pretrainjax.prepare.image.folder import Source as ImageFolder
from pretrainjax.prepare.image.preparation import ImagePreparation
from pretrainjax.prepare.image.sets.fashion_mnist import Source as FashionMnist
from pretrainjax.prepare.lookup import names, source_class
from pretrainjax.prepare.text.folder import Source as TextFolder


def test_ours_by_their_modules_names():
  assert source_class("fashion_mnist") is FashionMnist
  assert source_class("image_folder") is source_class("image") is ImageFolder
  assert source_class("text_folder") is source_class("text") is TextFolder
  assert source_class("pretrainjax.prepare.image.folder:Source") is ImageFolder


def test_every_name_is_a_source():
  assert {"digits", "fashion_mnist", "image_folder", "sotu", "text", "wordnet"} <= {*names()}
  for name in names():
    source = source_class(name)()
    assert isinstance(source, Source) and source.preparation.settings()


def test_names_that_are_none():
  with pytest.raises(UserError, match="no source 'fashion_mnst'; did you mean 'fashion_mnist'"):
    source_class("fashion_mnst")
  with pytest.raises(UserError, match=r"named\s+package.module:Source"):
    source_class("nothing")
  for name in ("sets", "image.folder", "../image", "preparation", ""):
    with pytest.raises(UserError, match=f"no source '{name}'"):
      source_class(name)


@pytest.fixture
def mylab(monkeypatch):
  """A package of somebody else, with a source and a class that is none."""

  @dataclasses.dataclass(frozen=True)
  class Source:
    name = "theirs"
    preparation = ImagePreparation()

    def open(self, data_dir):
      raise NotImplementedError

  @dataclasses.dataclass(frozen=True)
  class Half:
    name: str = "half"

  module = types.ModuleType("mylab.data")
  module.Source, module.Half, module.NUMBER = Source, Half, 3
  monkeypatch.setitem(sys.modules, "mylab", types.ModuleType("mylab"))
  monkeypatch.setitem(sys.modules, "mylab.data", module)
  return module


def test_theirs_by_module_and_class(mylab):
  assert source_class("mylab.data:Source") is mylab.Source
  for name, message in (
    ("mylab.data:Sourze", "'mylab.data' has no class 'Sourze'; did you mean 'Source'"),
    ("mylab.data:NUMBER", "has no class 'NUMBER'"),
    ("mylab.data:Half", "'mylab.data:Half' has no preparation and no open"),
    ("no_such_lab:Source", r"'no_such_lab' cannot be imported \(No module named 'no_such_lab'\)"),
  ):
    with pytest.raises(UserError, match=message):
      source_class(name)
