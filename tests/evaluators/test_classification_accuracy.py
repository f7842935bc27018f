import numpy as np
import pytest
from fake_encoders import Classifier, blobs, identity, pixels
from fake_texts import classes_seen, labelled_texts, text_of
from flax import nnx

from pretrainjax.evaluators.classification_accuracy import ClassificationAccuracy
from pretrainjax.objectives.base import Towers


def test_it_scores_the_heads_logits():
  data, module = blobs(90, split="test"), Classifier(12, 7, rngs=nnx.Rngs(0))
  outcome = ClassificationAccuracy(data=data).outcome(module)
  logits = pixels(data) @ np.asarray(module.head.kernel[...])
  assert outcome.metrics["top1"] == pytest.approx((logits.argmax(1) == data.labels).mean())
  assert outcome.confusion.sum() == 90
  assert outcome.class_names == data.class_names


def test_it_needs_the_whole_module():
  assert ClassificationAccuracy.needs_module
  with pytest.raises(ValueError, match="found a TinyEncoder without 'encoder'"):
    ClassificationAccuracy(data=blobs(5)).run(identity())


def test_a_head_with_fewer_classes_than_the_data_is_refused():
  with pytest.raises(ValueError, match="data: found labels 0 to 6, expected 0 to 2"):
    ClassificationAccuracy(data=blobs(50)).run(Classifier(12, 3, rngs=nnx.Rngs(0)))


def test_texts_are_scored_as_images_are():
  head = nnx.Linear(8, 2, rngs=nnx.Rngs(1))
  module, data = Towers(encoder=classes_seen(), head=head), labelled_texts(21, seed=1)
  logits = head(module.encoder(text_of(data.arrays)).pooled)
  metrics = ClassificationAccuracy(data=data).run(module)
  assert metrics["top1"] == pytest.approx((logits.argmax(1) == data.arrays["label"]).mean())
