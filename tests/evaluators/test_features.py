import jax
import numpy as np
import pytest
from fake_encoders import ArrayData, TinyEncoder, blobs, identity, pixels
from fake_texts import ArrayTexts, TinyText, random_texts
from flax import nnx

from pretrainjax.errors import UserError
from pretrainjax.evaluators import features as features_module
from pretrainjax.evaluators.features import FeatureCache, extract_features, labels_of
from pretrainjax.types import Text, check_encoder


@pytest.mark.parametrize("count", [1, 15, 16, 17, 50])
def test_features_are_in_order_and_without_padding(count):
  data = blobs(count)
  result = extract_features(identity(), data)
  np.testing.assert_allclose(result.features, pixels(data), atol=1e-6)
  np.testing.assert_array_equal(result.labels, data.labels)
  assert result.features.dtype == np.float32


@pytest.mark.parametrize("max_examples", [1, 16, 33, 99])
def test_subset_is_fixed_by_its_seed_and_in_order(max_examples):
  data = blobs(100)
  first = extract_features(identity(), data, max_examples=max_examples, seed=3)
  again = extract_features(identity(), data, max_examples=max_examples, seed=3)
  other = extract_features(identity(), data, max_examples=max_examples, seed=4)
  assert len(first.features) == max_examples
  np.testing.assert_array_equal(first.features, again.features)
  assert not np.array_equal(first.features, other.features)
  rows = np.sort(np.random.default_rng(3).choice(100, max_examples, replace=False))
  np.testing.assert_array_equal(first.labels, data.labels[rows])


def test_repeated_evaluations_do_not_compile_again():
  data = blobs(40, seed=1)
  extract_features(identity(), data)
  before = features_module.pooled._cache_size()
  for seed in range(3):
    encoder = identity()
    encoder.linear.kernel.set_value(jax.random.normal(jax.random.key(seed), (12, 12)))
    extract_features(encoder, data)
  assert features_module.pooled._cache_size() == before


def test_cache_reads_shared_data_once():
  data, cache = blobs(40), FeatureCache(identity())
  first = extract_features(cache, data)
  assert extract_features(cache, data) is first
  assert len(data.passes) == 1
  assert len(extract_features(cache, data, max_examples=5).features) == 5
  assert len(data.passes) == 2


def test_features_that_are_not_finite_are_refused():
  encoder = identity()
  encoder.linear.bias.set_value(encoder.linear.bias[...].at[0].set(np.nan))
  with pytest.raises(ValueError, match="40 of 40 examples are not finite"):
    extract_features(encoder, blobs(40))


def test_unlabelled_data_gives_features_and_refuses_labels():
  data = ArrayData(blobs(20).images, None, 7)
  result = extract_features(identity(), data)
  assert result.labels is None and len(result.features) == 20
  with pytest.raises(ValueError, match="train: the data has no labels"):
    labels_of(result, num_classes=7, split="train")


def test_texts_go_the_same_way():
  encoder = TinyText(rngs=nnx.Rngs(0))
  data = ArrayTexts(random_texts(19) | {"label": np.arange(19) % 3}, batch_size=8)
  result = extract_features(encoder, data)
  expected = encoder(Text(data.arrays["tokens"], data.arrays["segments"])).pooled
  np.testing.assert_allclose(result.features, expected, atol=1e-6)
  np.testing.assert_array_equal(result.labels, data.arrays["label"])
  some = extract_features(encoder, data, max_examples=10, seed=1)
  rows = np.sort(np.random.default_rng(1).choice(19, 10, replace=False))
  np.testing.assert_allclose(some.features, result.features[rows], atol=1e-6)


def test_types_come_along():
  class Sees(TinyText):
    def __call__(self, inputs, **options):
      encoded = super().__call__(inputs, **options)
      return encoded._replace(pooled=inputs.types.sum(axis=1, keepdims=True) * 1.0)

  arrays = random_texts(10)
  arrays["types"] = arrays["segments"] * (np.arange(10) % 2)[:, None].astype(np.int32)
  result = extract_features(Sees(rngs=nnx.Rngs(0)), ArrayTexts(arrays))
  np.testing.assert_array_equal(result.features[:, 0], arrays["types"].sum(axis=1))


def test_one_of_several_views_is_encoded_when_it_is_asked_for():
  encoder, data = TinyText(rngs=nnx.Rngs(0)), ArrayTexts(random_texts(19, views=2))
  cache = FeatureCache(encoder)
  for view in (0, 1):
    tokens, segments = (data.arrays[name][:, view] for name in ("tokens", "segments"))
    expected = encoder(Text(tokens, segments)).pooled
    for subject in (encoder, cache):
      result = extract_features(subject, data, view=view)
      np.testing.assert_allclose(result.features, expected, atol=1e-6)
  with pytest.raises(ValueError, match="data: found 2 views, expected 1 for evaluation"):
    extract_features(encoder, data)
  with pytest.raises(ValueError, match="found 2 views, expected at least 2 and above view 2"):
    extract_features(encoder, data, view=2)
  with pytest.raises(ValueError, match="found 1 views, expected at least 2 and above view 0"):
    extract_features(encoder, ArrayTexts(random_texts(5)), view=0)


def test_an_encoder_that_does_not_say_what_it_reads_is_refused():
  with pytest.raises(UserError, match="encoder: Linear has no 'embed_dim', expected an encoder"):
    check_encoder(nnx.Linear(2, 2, rngs=nnx.Rngs(0)), key="encoder")


def test_labels_out_of_range_are_refused():
  result = extract_features(identity(), blobs(50))
  with pytest.raises(ValueError, match="test: found labels 0 to 6, expected 0 to 4"):
    labels_of(result, num_classes=5, split="test")


def test_several_views_and_no_examples_are_refused():
  views = ArrayData(np.zeros((8, 2, 4, 3, 1), np.uint8), None, 2)
  encoder = TinyEncoder(12, rngs=nnx.Rngs(0))
  with pytest.raises(ValueError, match="found 2 views"):
    extract_features(encoder, views)
  with pytest.raises(ValueError, match="no example"):
    extract_features(encoder, ArrayData(np.zeros((0, 4, 3, 1), np.uint8), None, 2))
