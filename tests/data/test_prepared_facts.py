"""What prepared sets say of themselves, and what they do not say."""

import json

import numpy as np
import pytest
import tiny_datasets
import tiny_texts

from pretrainjax.data.prepared_facts import PreparedFacts
from pretrainjax.prepare.image.example import Image, png


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
  base = tmp_path_factory.mktemp("facts")
  tiny_datasets.prepare("bits", base, count=12)
  tiny_datasets.prepare("bare", base, count=4, labels=False)
  colours = np.random.default_rng(0).integers(0, 256, (6, 5, 8, 3), np.uint8)
  images = [
    Image(f"train/{i}", png(c), None, "train", (5, 8, 3), digest=None)
    for i, c in enumerate(colours)
  ]
  tiny_datasets.write("colours", base, images)
  tokens = {"tokens": [110, 111], "score": 2.5}
  tiny_texts.write("scored", base, {"train": [tokens, tokens | {"score": 4.0}]})
  tiny_texts.write("blocks", base, {"train": [tiny_texts.block([[110, 111]], 16)]}, length=16)
  return base


def facts(name, data_dir) -> PreparedFacts:
  return PreparedFacts(name, data_dir=str(data_dir))


def test_images_say_their_shape_and_classes(data_dir):
  bits = facts("bits", data_dir)
  assert (bits.num_channels, bits.image_size, bits.num_classes) == (1, 6, 4)
  colours = facts("colours", data_dir)
  assert colours.num_channels == 3
  with pytest.raises(LookupError, match="'colours' are not squares of one size, but 5 x 8"):
    _ = colours.image_size
  with pytest.raises(LookupError, match="'colours' has no classes"):
    _ = colours.num_classes


def test_the_mean_is_that_of_prepare_or_measured(data_dir):
  bits = facts("bits", data_dir)
  pixels = np.stack([tiny_datasets.picture(i) for i in range(12)]) / 255
  assert bits.image_mean == pytest.approx([pixels.mean()], abs=1e-4)
  assert bits.image_std == pytest.approx([pixels.std()], abs=1e-4)
  report = data_dir / "bits/1.0.0/prepared.json"
  whole = json.loads(report.read_text())
  statistics = whole["pixel_statistics"]
  assert statistics["num_images"] == 12 and statistics["smallest"] == [6, 6]
  noted = statistics | {"mean": [0.25], "std": [0.5]}

  def write(found) -> None:
    report.write_text(json.dumps(whole | {"pixel_statistics": found}))

  write(noted)
  assert (facts("bits", data_dir).image_mean, facts("bits", data_dir).image_std) == (
    (0.25,),
    (0.5,),
  )
  for nonsense in ([0.1, 0.2], "no", [float("nan")], [1], None):
    write(noted | {"mean": nonsense})
    assert facts("bits", data_dir).image_mean == pytest.approx([pixels.mean()], abs=1e-4)


def test_a_mixture_has_no_one_mean(data_dir):
  both = PreparedFacts({"bits": 1.0, "bare": 1.0}, data_dir=str(data_dir))
  assert both.num_channels == 1
  with pytest.raises(LookupError, match="bits . bare are several datasets"):
    _ = both.image_mean
  with pytest.raises(LookupError, match="not the same classes"):
    _ = both.num_classes


def test_texts_say_their_tokens_scores_and_length(data_dir):
  scored, blocks = facts("scored", data_dir), facts("blocks", data_dir)
  assert scored.vocab_size == 400 and scored.score_range == (2.5, 4.0)
  assert (scored.special_ids, scored.mask_id) == ((0, 1, 2, 3, 4), 4)
  assert (scored.end_id, scored.pad_id) == (3, 0)
  assert (scored.first_sentinel, scored.sentinel_step) == (5, 1)
  assert blocks.length == 16
  for name, fact, reason in (
    ("scored", "length", "not packed"),
    ("blocks", "num_tags", "has no tags"),
    ("blocks", "score_range", "no scores"),
    ("scored", "num_channels", "has no images"),
    ("bare", "vocab_size", "has no text"),
  ):
    with pytest.raises(LookupError, match=reason):
      getattr(facts(name, data_dir), fact)
