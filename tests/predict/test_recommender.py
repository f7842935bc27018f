import numpy as np
import pytest
from flax import nnx
from item_sets import NUM_ITEMS, TinyRecommender, recommender, split, write_tastes

from pretrainjax.errors import UserError
from pretrainjax.predict.askers import known_user, somebody
from pretrainjax.predict.item_log import ItemLog
from pretrainjax.predict.recommender import Options, ScoredItems, batch_of

OPTIONS = Options(
  top=4, is_shown=np.arange(NUM_ITEMS + 1) > 0, shows_seen=False, days=7.0, batch_size=2
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
  data_dir = tmp_path_factory.mktemp("data")
  write_tastes(data_dir)
  return data_dir


@pytest.fixture(scope="module")
def log(folder):
  return ItemLog(split(folder, "train").sources[0])


def test_batches_are_as_those_of_the_data(folder, log):
  """Of users whose last known event is the test's target: its history is one event shorter."""
  askers = [known_user(f"u{n}", log) for n in range(8)]
  shorter = [
    a._replace(events=type(a.events)(a.events.items[:-1], a.events.times[:-1])) for a in askers
  ]
  found, expected = batch_of(shorter, length=3), next(split(folder, "test").one_pass())
  for name in ("items", "times", "user"):
    np.testing.assert_array_equal(found[name], expected[name], err_msg=name)


def test_lists_do_not_depend_on_who_else_asks(log):
  askers = [known_user("u1", log), somebody("", log), somebody("i1, i2", log), known_user("x", log)]
  scored = ScoredItems(recommender(), log, length=3, options=OPTIONS)
  together = scored.best(askers)
  assert together["popular"].tolist() == [False, True, False, True]
  for row, asker in enumerate(askers):
    alone = scored.best([asker])
    np.testing.assert_array_equal(alone["items"][0], together["items"][row])
    np.testing.assert_allclose(alone["scores"][0], together["scores"][row], rtol=1e-5)


def test_short_lists_end_with_no_item(log):
  few = OPTIONS._replace(is_shown=np.isin(np.arange(NUM_ITEMS + 1), [2, 5]))
  scored = ScoredItems(recommender(), log, length=3, options=few)
  found = scored.best([somebody("i5", log), known_user("x", log)])
  assert found["items"].tolist()[0] == [2, 0, 0, 0] and (found["items"][1] > 0).sum() == 2


def test_a_network_that_diverged_is_one_line(log):
  bad = TinyRecommender(rngs=nnx.Rngs(0))
  bad.bias.set_value(bad.bias[...] * np.nan)
  with pytest.raises(UserError, match="--workdir: scores of items are not finite"):
    ScoredItems(bad, log, length=3, options=OPTIONS).best([somebody("i5", log)])
