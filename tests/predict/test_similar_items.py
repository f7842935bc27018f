import numpy as np
import pytest
from item_sets import NUM_ITEMS, loaded, recommender, write_tastes
from ml_collections import ConfigDict

from pretrainjax.command import Request
from pretrainjax.command_line import make_parser
from pretrainjax.config.allowed import add_allow_flag
from pretrainjax.errors import UserError
from pretrainjax.predict import similar_items


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
  data_dir = tmp_path_factory.mktemp("data")
  write_tastes(data_dir)
  return data_dir


def call(folder, *flags):
  parser = make_parser("predict", "", needs_workdir=True)  # as the binary does
  add_allow_flag(parser)
  similar_items.add_flags(parser)
  request = Request(ConfigDict(), folder, parser.parse_args(flags))
  similar_items.work(request, loaded(folder))


def test_neighbours_are_the_nearest_by_cosine_without_itself(folder, capsys):
  call(folder, "--item=The film 3", "--item=i5", "--top=4")
  table = np.asarray(recommender().candidates()[0], np.float64)[: NUM_ITEMS + 1]
  unit = table / np.linalg.norm(table, axis=1, keepdims=True)
  lines = capsys.readouterr().out.splitlines()
  assert lines[0] == "The film 3 (i3)" and lines[5] == "The film 5 (i5)"
  for place, item in ((1, 3), (6, 5)):
    cosines = unit @ unit[item]
    order = [i for i in np.argsort(-cosines) if i not in (0, item)][:4]
    expected = [
      f"  {n:2d}. The film {i} (i{i})  {cosines[i]:.4f}" for n, i in enumerate(order, start=1)
    ]
    assert lines[place : place + 4] == expected


def test_there_are_no_more_neighbours_than_other_items(folder, capsys):
  call(folder, "--item=i1", "--top=99")
  assert len(capsys.readouterr().out.splitlines()) == NUM_ITEMS


@pytest.mark.parametrize(
  ("flags", "message"),
  [
    ((), "--item: found nothing"),
    (("--item=i1", "--top=0"), "--top: found 0"),
    (("--item=Film 3",), "--item: found no item 'Film 3'.*The film 3"),
  ],
)
def test_mistakes_are_one_line(folder, flags, message):
  with pytest.raises(UserError, match=message):
    call(folder, *flags)
