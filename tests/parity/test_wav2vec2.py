"""What the round trips do not see: padding with their mask, normalised samples, pretraining."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torchvision_operators  # noqa: F401
from flax import nnx
from round_trips import as_ours, randomise
from transformers_models import close, gradients_of, jit, saved, trees_close

from pretrainjax import collectives
from pretrainjax.checkpoint.encoder import load
from pretrainjax.export.networks import networks_of
from pretrainjax.losses.in_utterance import distractors
from pretrainjax.masking import random_spans
from pretrainjax.models.layers.waveform import normalised_audio
from pretrainjax.objectives.masked.wav2vec2 import Wav2Vec2Pretraining
from pretrainjax.objectives.split import split
from pretrainjax.types import Sound

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
pytest.importorskip("safetensors")

pytestmark = pytest.mark.parity
SIZES = dict(
  hidden_size=12,
  num_hidden_layers=2,
  num_attention_heads=3,
  intermediate_size=20,
  conv_dim=[4, 6],
  conv_kernel=[10, 3],
  conv_stride=[5, 2],
  num_conv_pos_embeddings=6,
  num_conv_pos_embedding_groups=2,
  feat_extract_norm="layer",
  layerdrop=0.0,
)
LENGTHS = np.array([803, 411, 96], np.int32)
AUDIO = np.random.default_rng(0).integers(-9000, 9000, (3, 803)).astype(np.int16)


def test_real_samples_are_normalised_as_their_extractor_does():
  extractor = transformers.Wav2Vec2FeatureExtractor(return_attention_mask=True)
  rows = [row[:n] / np.float32(32768) for row, n in zip(AUDIO, LENGTHS, strict=True)]
  theirs = extractor(rows, sampling_rate=16_000, padding=True, return_tensors="np")
  close(normalised_audio(Sound(AUDIO, LENGTHS)).audio, theirs["input_values"], "samples")


@pytest.mark.parametrize("stable", [False, True])
def test_a_padded_batch_with_their_mask_and_hidden_frames(stable, tmp_path):
  torch.manual_seed(0)
  config = transformers.Wav2Vec2Config(**SIZES, do_stable_layer_norm=stable)
  model = randomise(transformers.Wav2Vec2Model(config).eval())
  saved(model, tmp_path)
  encoder = load(f"hf:{tmp_path}").encoder
  sound = Sound(AUDIO, LENGTHS)
  valid = np.asarray(encoder.valid(sound))
  masked = (np.arange(valid.shape[1])[None] % 5 < 2) & valid
  present = np.arange(AUDIO.shape[1])[None] < LENGTHS[:, None]
  samples = torch.from_numpy(np.array(normalised_audio(sound).audio))
  with torch.no_grad():
    found = model(
      samples,
      attention_mask=torch.from_numpy(present).long(),
      mask_time_indices=torch.from_numpy(np.array(masked)),
    )
  close(
    encoder(sound, masked=jnp.asarray(masked)).tokens[valid],
    found.last_hidden_state.numpy()[valid],
    "frames",
  )
  features = encoder.features(sound).features
  close(features[valid], found.extract_features.numpy()[valid], "features")


BOOKS = dict(num_codevectors_per_group=5, codevector_dim=8, proj_codevector_dim=7)
RATES = dict.fromkeys(("hidden_dropout", "activation_dropout", "attention_dropout"), 0.0)
RATES |= dict.fromkeys(("feat_proj_dropout", "feat_quantizer_dropout"), 0.0)
COUNT = 6  # of distractors
# Theirs normalises the first convolution's channels over padding too, ours never does.
KINDS = {
  "base": (dict(feat_extract_norm="group"), np.array([803, 803, 803], np.int32)),
  "base, padded": (dict(do_stable_layer_norm=False), LENGTHS),
  "large, padded": (dict(do_stable_layer_norm=True, conv_bias=True), LENGTHS),
}


def drawn(key, objective, valid):
  """What our objective draws, in its order: hidden frames, Gumbel noise, distractors."""
  rngs = nnx.Rngs(key)
  spans = {"start_rate": objective.start_rate, "span_length": objective.span_length}
  hidden = random_spans(rngs.mask(), valid, **spans)
  keys = collectives.example_keys(rngs.sample(), len(valid))
  noise = jax.vmap(lambda k: jax.random.gumbel(k, (valid.shape[1], 2, 5)))(keys)
  return tuple(map(np.array, (hidden, noise, distractors(rngs.sample(), hidden, count=COUNT))))


@pytest.mark.parametrize("kind", KINDS)
def test_the_loss_of_pretraining_and_its_gradient(kind, tmp_path, monkeypatch):
  torch.manual_seed(0)
  changes, lengths = KINDS[kind]
  config = transformers.Wav2Vec2Config(**SIZES | changes, **BOOKS, **RATES)
  model = randomise(transformers.Wav2Vec2ForPreTraining(config))
  with torch.no_grad():
    model.quantizer.weight_proj.weight.mul_(0.3)  # so that all entries are chosen
  saved(model.eval(), tmp_path)
  networks = networks_of(load(f"hf:{tmp_path}"), None)
  objective = Wav2Vec2Pretraining(
    backbone=networks.modules["encoder"],  # which is made already
    quantizer=networks.modules["quantizer"],
    start_rate=0.15,
    span_length=3,
    num_distractors=COUNT,
    feature_weight=0.0,  # which theirs has not
    feature_gradient=1.0,
  )
  graphdef, params, extras = split(nnx.Dict(networks.modules))
  sound, key, step = Sound(AUDIO, lengths), jax.random.key(3), 40_000
  batch = {"audio": AUDIO, "num_samples": lengths}

  def loss(params):
    module = nnx.merge(graphdef, params, extras)
    return objective.loss(module, batch, rngs=nnx.Rngs(key), step=step)

  (value, metrics), gradients = jit(jax.value_and_grad(loss, has_aux=True))(params)

  valid = networks.modules["encoder"].valid(sound)
  hidden, noise, places = drawn(key, objective, valid)
  assert (hidden.sum(1) > 1).all() and not (hidden & ~np.asarray(valid)).any()

  def gumbel_softmax(logits, tau, hard):
    assert hard
    soft = ((logits + torch.from_numpy(noise.reshape(logits.shape))) / tau).softmax(-1)
    one = torch.nn.functional.one_hot(soft.argmax(-1), logits.shape[-1])
    return one - soft.detach() + soft

  monkeypatch.setattr(torch.nn.functional, "gumbel_softmax", gumbel_softmax)
  model.train()
  model.set_gumbel_temperature(float(objective.gumbel_temperature(step)))
  rows = np.arange(len(places))[:, None, None] * hidden.shape[1]  # theirs count through the batch
  present = np.arange(AUDIO.shape[1])[None] < lengths[:, None]
  found = model(
    torch.from_numpy(np.array(normalised_audio(sound).audio)),
    attention_mask=torch.from_numpy(present).long(),
    mask_time_indices=torch.from_numpy(hidden),
    sampled_negative_indices=torch.from_numpy(places + rows),
  )
  count = int(hidden.sum())  # they sum over hidden frames
  (found.loss / count).backward()
  assert 4 < float(found.codevector_perplexity.detach()) < 10
  close(metrics["code_perplexity"], found.codevector_perplexity.item() / 2, "perplexity")
  close(metrics["contrastive_loss"], found.contrastive_loss.item() / count, "contrast")
  close(metrics["diversity_loss"], found.diversity_loss.item() / count, "diversity")
  close(value, found.loss.item() / count, "loss")
  theirs = gradients_of(model)
  assert max(np.abs(x).max() for x in theirs.values()) > 0.1
  trees_close(gradients, as_ours(theirs, networks, "Wav2Vec2ForPreTraining", "transformers"))
