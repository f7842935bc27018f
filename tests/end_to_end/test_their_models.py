"""Models of transformers, `hf:FOLDER`, as users take them: by the commands, on data."""

import binaries
import numpy as np
import pytest
import synthetic
import their_folders
import tiny_texts

from pretrainjax.checkpoint.encoder import load

QUICK = "--config.train.tracking.tensorboard=false"
VIT = {"image_size": 28, "patch_size": 7, "num_channels": 1}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
  folder = tmp_path_factory.mktemp("data")
  for name in ("sotu", "spam_assassin", "fashion_mnist"):
    synthetic.prepare(name, folder)
  return folder


@pytest.fixture(scope="module")
def models(tmp_path_factory):
  folder, tokenizer = tmp_path_factory.mktemp("models"), tiny_texts.tokenizer()
  size = {"vocab_size": tokenizer.vocab_size}
  texts = {"BertForMaskedLM": {"max_position_embeddings": 128}, "GPT2LMHeadModel": {}}
  for kind, changes in texts.items():
    their_folders.make_other(folder / kind, kind, tokenizer=tokenizer, **size, **changes)
  their_folders.make_other(folder / "ViTModel", "ViTModel", **VIT)
  clip = their_folders.CONFIGS["CLIPModel"]
  towers = {"vision_config": clip["vision_config"] | VIT, "text_config": clip["text_config"] | size}
  their_folders.make_other(folder / "CLIPModel", "CLIPModel", tokenizer=tokenizer, **towers)
  return folder


@pytest.fixture
def run(capsys, data):
  def call(verb, *flags, config=None, quick=True):
    named = (
      []
      if config is None
      else [f"--config={binaries.ROOT}/configs/{config}.py:smoke", *quick * [QUICK]]
    )
    ended = binaries.call(capsys, *verb.split(), *named, f"--data_dir={data}", *map(str, flags))
    assert ended.status == 0, ended.errors
    return ended.out

  return call


@pytest.mark.repeat
def test_a_bert_goes_on_is_tuned_and_measured(run, models, tmp_path):
  bert, more, spam = f"hf:{models}/BertForMaskedLM", tmp_path / "more", tmp_path / "spam"
  out = run(
    "pretrain", f"--config.init={bert}", f"--workdir={more}", config="pretrain/text/bert_sotu"
  )
  assert f"init encoder from {bert}: loaded" in out and f"init head from {bert}: loaded" in out
  assert load(more).config.objective.backbone == load(bert).config.objective.backbone
  out = run(
    "finetune",
    f"--config.init={bert}",
    f"--workdir={spam}",
    config="finetune/text/bert_spam_assassin",
  )
  assert f"init from {bert}: loaded" in out
  out = run("evaluate", f"--workdir={bert}", config="evaluate/text/sotu_masked", quick=False)
  assert f"evaluating {bert}" in out and "step" not in out
  run("export", f"--workdir={more}", f"--out={tmp_path}/exported")
  exported = f"hf:{tmp_path}/exported"
  run(
    "pretrain",
    f"--config.init={exported}",
    f"--workdir={tmp_path}/on",
    config="pretrain/text/bert_sotu",
  )


def test_texts_by_predict(run, models, tmp_path):
  (tmp_path / "texts.txt").write_text("the state of the union\nour people hope\n")
  bert, out = f"hf:{models}/BertForMaskedLM", tmp_path / "features.npy"
  run("predict embed", f"--workdir={bert}", f"--input={tmp_path}/texts.txt", f"--out={out}")
  assert np.load(out).shape == (2, 6)
  assert "likeliest: the" in run("predict fill-mask", f"--workdir={bert}", "--text=the [MASK]")
  gpt = f"--workdir=hf:{models}/GPT2LMHeadModel"
  assert "the state" in run("predict generate", gpt, "--prompt=the state", "--max_new_tokens=2")


@pytest.mark.repeat
def test_a_vit_is_tuned_and_measured(run, models, tmp_path):
  vit, tuned = f"hf:{models}/ViTModel", tmp_path / "tuned"
  out = run(
    "finetune",
    f"--config.init={vit}",
    f"--workdir={tuned}",
    config="finetune/image/vit_fashion_mnist",
  )
  assert f"init from {vit}: loaded" in out
  run("evaluate", f"--workdir={vit}:encoder", config="evaluate/image/fashion_mnist", quick=False)


@pytest.mark.repeat
def test_a_tower_of_clip_is_tuned_and_measured(run, models, tmp_path):
  clip, tuned = f"hf:{models}/CLIPModel", tmp_path / "tuned"
  out = run(
    "finetune",
    f"--config.init={clip}:image",
    f"--workdir={tuned}",
    config="finetune/image/vit_fashion_mnist",
  )
  assert f"init from {clip}:image: loaded" in out
  run("evaluate", f"--workdir={clip}:image", config="evaluate/image/fashion_mnist", quick=False)


def test_texts_by_predict_of_a_tower(run, models, tmp_path):
  (tmp_path / "texts.txt").write_text("the state\nour people hope\n")
  out = tmp_path / "features.npy"
  flags = (f"--input={tmp_path}/texts.txt", f"--out={out}")
  run("predict embed", f"--workdir=hf:{models}/CLIPModel:text", *flags)
  assert np.load(out).shape == (2, 6)


def test_images_by_predict(run, models, tmp_path):
  out = tmp_path / "features.npz"
  flags = ("--input=fashion_mnist", "--split=test", f"--out={out}")
  assert "Resize(size=28" in run("predict embed", f"--workdir=hf:{models}/ViTModel", *flags)
  assert np.load(out)["features"].shape == (64, 8)
