import dataclasses

import numpy as np
import pytest
from fake_encoders import TinyEncoder, blobs, identity
from flax import nnx

from pretrainjax.evaluators.compare import RANDOM_INIT, Subject, compare
from pretrainjax.evaluators.linear_probe import LinearProbe
from pretrainjax.evaluators.log_mel_probe import LogMelProbe, _means
from pretrainjax.models.layers.log_mel import speech_log_mel
from pretrainjax.types import Sound

HOW = {"num_mels": 6, "num_parts": 3, "range_db": 60.0, "remove_mean": False}
RNG = np.random.default_rng(0)


@dataclasses.dataclass(frozen=True, eq=False)
class Sounds:
  """Tones of a pitch a class, of random loudness and length, as a dataset."""

  labels: np.ndarray = dataclasses.field(repr=False)
  seed: int
  num_classes: int = 3
  class_names: tuple[str, ...] = ("low", "middle", "high")
  arrays_with_views: tuple[str, ...] = ()

  @property
  def num_examples(self) -> int:
    return len(self.labels)

  def one_pass(self):
    rng = np.random.default_rng(self.seed)
    lengths = rng.integers(2000, 4000, self.num_examples)
    time = np.arange(4000) / 16_000
    pitch = 300.0 * 2.0**self.labels * rng.uniform(0.95, 1.05, self.num_examples)
    loud = rng.uniform(500, 20_000, self.num_examples)
    audio = loud[:, None] * np.sin(2 * np.pi * pitch[:, None] * time) + rng.normal(
      0, 3, (self.num_examples, 4000)
    )
    audio = np.where(np.arange(4000)[None] < lengths[:, None], audio, 0).astype(np.int16)
    yield {"audio": audio, "num_samples": lengths.astype(np.int32), "label": self.labels}


def sounds(per_class: int, *, seed: int) -> Sounds:
  return Sounds(np.repeat(np.arange(3, dtype=np.int32), per_class), seed)


def reference(audio: np.ndarray) -> np.ndarray:
  """The features of one sound by loops, in decibels."""
  log_mel = dataclasses.replace(speech_log_mel(6), normalise="none")
  x = np.asarray(log_mel(Sound(audio[None], np.array([len(audio)]))).features)[0]
  x = np.maximum(10 * np.log10(np.exp(x - x.max())), -60)
  ends = np.linspace(0, len(x), 4)
  parts = []
  for begin, end in zip(ends[:-1], ends[1:], strict=True):
    weights = [max(0, min(t + 1, end) - max(t, begin)) for t in range(len(x))]
    parts.append(np.average(x, axis=0, weights=weights))
  return np.concatenate(parts)


@pytest.mark.parametrize("count", [401, 720, 1600, 3999])
def test_features_equal_a_reference_whatever_follows_the_sound(count):
  audio = (RNG.normal(0, 2000, 4000) * np.linspace(0.01, 1, 4000)).astype(np.int16)
  row = np.stack([audio, audio])
  found = _means(Sound(row, np.array([count, 2800])), **HOW)
  np.testing.assert_allclose(found[0], reference(audio[:count]), atol=1e-3)
  alone = _means(Sound(row[:1, :count], np.array([count])), **HOW)
  np.testing.assert_allclose(found[0], alone[0], atol=1e-4)
  assert not np.allclose(found[0], found[1], atol=0.1)


def test_without_its_mean_a_band_is_what_changes():
  sound = Sound(RNG.normal(0, 0.1, (1, 4000)).astype(np.float32), np.array([4000]))
  (parts,) = np.asarray(_means(sound, **HOW)).reshape(1, 3, 6)
  (changes,) = np.asarray(_means(sound, **HOW | {"remove_mean": True})).reshape(1, 3, 6)
  np.testing.assert_allclose(changes, parts - parts.mean(0), atol=1e-3)


def test_loudness_is_not_heard_and_less_than_a_window_is_nothing():
  audio = RNG.normal(0, 0.01, (1, 1600)).astype(np.float32)
  pair = [_means(Sound(x, np.array([1600])), **HOW) for x in (audio, 30 * audio)]
  np.testing.assert_allclose(*pair, atol=1e-2)
  assert not np.any(_means(Sound(audio[:, :300], np.array([300])), **HOW))


def test_tones_are_told_apart_without_a_network():
  data = {"train": sounds(4, seed=1), "test": sounds(10, seed=2)}
  probe = LogMelProbe(**data, num_mels=10, num_parts=2, remove_mean=False)
  outcome = probe.outcome(None)
  assert outcome.metrics["top1"] > 0.9 and outcome.confusion.sum() == 30
  assert probe.run(object()) == outcome.metrics


def test_protocol_says_that_no_network_is_measured():
  protocol = LogMelProbe(train=sounds(4, seed=1), test=sounds(1, seed=2)).protocol()
  assert protocol["features"].startswith("means of 40 log-mel bands") and protocol["num_parts"] == 8
  assert protocol["absent_classes"] == "wrong" and protocol["fixed_l2"] == 1e-2


def test_what_measures_no_network_runs_once_beside_those_that_do():
  encoder = TinyEncoder(12, rngs=nnx.Rngs(1))
  encoder.pool = "mean"
  images = {"train": blobs(60, seed=1), "test": blobs(20, seed=2)}
  evaluators = {
    "log_mel": LogMelProbe(train=sounds(2, seed=1), test=sounds(2, seed=2), l2=(1e-2,)),
    "probe": LinearProbe(**images, l2=(1e-2,)),
  }
  rows = compare(evaluators, Subject(encoder), Subject(identity()), checkpoint="/w", step=1).rows
  kinds = {name: {row.encoder for row in rows if row.evaluator == name} for name in evaluators}
  assert kinds["log_mel"] == {"trained"} and RANDOM_INIT in kinds["probe"]
  pools = {row.evaluator for row in rows if "pool" in row.protocol}
  assert pools == {"probe"}


def test_images_are_refused_in_a_line():
  with pytest.raises(ValueError, match="found image, index, label, valid, expected sound"):
    LogMelProbe(train=blobs(20), test=blobs(20)).run(None)
