import binaries
import numpy as np
import pytest
import synthetic
from fake_texts import TinyText, word_tokenizer
from flax import nnx
from item_sets import loaded as loaded_recommender
from ml_collections import ConfigDict

from pretrainjax.checkpoint.encoder import Loaded, load
from pretrainjax.command import Request
from pretrainjax.command_line import make_parser
from pretrainjax.config.allowed import add_allow_flag
from pretrainjax.errors import UserError
from pretrainjax.objectives.base import Objective, Towers
from pretrainjax.predict import start_items
from pretrainjax.predict.start_items import reduced

WORDS = "kind: even, odd. tags: a, b"


class OfText(Objective):
  """An objective that trained an encoder of text."""

  def encoder(self, module):
    return module.encoder


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
  data_dir = tmp_path_factory.mktemp("data")
  synthetic.prepare("interactions", data_dir)
  (data_dir / "tokenizer.json").write_text(word_tokenizer(WORDS).text)
  return data_dir


def call(folder, *flags, loaded=None):
  parser = make_parser("predict", "", needs_workdir=True)  # as the binary does
  add_allow_flag(parser)
  start_items.add_flags(parser)
  options = parser.parse_args((*flags, f"--data_dir={folder}"))
  module = Towers(encoder=TinyText(rngs=nnx.Rngs(0)))
  text = Loaded(ConfigDict(), OfText(), module, 3, workdir=folder)
  start_items.work(Request(ConfigDict(), folder, options), loaded or text)


def test_reduced_features_keep_distances_where_there_is_room():
  features = np.random.default_rng(0).normal(size=(30, 5)).astype(np.float32)
  found = reduced(features, width=5)
  distances = [np.linalg.norm(x[:, None] - x[None], axis=-1) for x in (features, found)]
  ratio = distances[1][0, 1] / distances[0][0, 1]
  np.testing.assert_allclose(distances[1], ratio * distances[0], atol=1e-4)
  np.testing.assert_allclose(found.std(), 1, atol=1e-5)
  assert reduced(features, width=2).shape == (30, 2)
  spread = found.std(axis=0)
  assert (np.diff(spread) <= 1e-6).all(), "what differs most comes first"


def test_items_start_by_their_texts(folder, tmp_path, capsys):
  out = tmp_path / "started"
  call(folder, "--recommender=esasrec_interactions:smoke", f"--out={out}")
  assert "50 of 50 items of interactions start by their texts" in capsys.readouterr().out
  table = np.asarray(load(str(out)).encoder.table.item_embedding[...])
  even, odd = table[1:51:2, :8], table[2:51:2, :8]  # as wide as the features
  assert np.ptp(even, axis=0).max() < 1e-6 < np.abs(even[0] - odd[0]).max()


@pytest.mark.repeat  # that a run begins with another one's arrays, tests of `init` show
def test_a_run_goes_on_from_there(folder, tmp_path, capsys):
  out = tmp_path / "started"
  call(folder, "--recommender=esasrec_interactions:smoke", f"--out={out}")
  capsys.readouterr()
  ended = binaries.call(
    capsys,
    "pretrain",
    "--config=esasrec_interactions:smoke",
    f"--workdir={tmp_path / 'run'}",
    f"--data_dir={folder}",
    f"--config.init={out}",
    "--config.evals=None",
    "--config.train.tracking.tensorboard=false",
  )
  assert ended.status == 0, ended.errors
  started, trained = (
    np.asarray(load(str(place)).encoder.table.item_embedding[...])
    for place in (out, tmp_path / "run")
  )
  assert np.abs(trained - started).max() < 0.02, "two steps from where it started"


@pytest.mark.parametrize(
  ("flags", "message"),
  [
    ((), "--recommender: found nothing"),
    (("--recommender=esasrec_interactions:smoke",), "--out: found nothing"),
    (("--recommender=ranking", "--out=x"), "--recommender: 'ranking' is no config of pretraining"),
    (("--recommender=esasrec_interactions:smoke", "--out=."), "--out: '.' is there already"),
  ],
)
def test_mistakes_are_one_line(folder, flags, message):
  with pytest.raises(UserError, match=message):
    call(folder, *flags)


def test_an_encoder_of_something_else_is_refused(folder, tmp_path):
  flags = ("--recommender=esasrec_interactions:smoke", f"--out={tmp_path / 'x'}")
  with pytest.raises(UserError, match="expected an encoder of text"):
    call(folder, *flags, loaded=loaded_recommender(folder))
