"""The command that exports, from its flags to its exit status."""

import json

import jax
import jax.numpy as jnp
import their_folders
import tiny_texts
from exported import SIZES, adapted_run
from ml_collections import ConfigDict

from pretrainjax.checkpoint import manifest
from pretrainjax.checkpoint.encoder import load, load_encoder
from pretrainjax.checkpoint.manager import Checkpoints
from pretrainjax.config import build, recipe, spec
from pretrainjax.convert.folder import read
from pretrainjax.export.command import main
from pretrainjax.models.bert import BERT
from pretrainjax.models.lm_head import MaskedLMHead
from pretrainjax.objectives.masked.masked_lm import MaskedLM
from pretrainjax.objectives.split import abstract_split, split


def test_a_model_comes_through(tmp_path, capsys):
  folder = their_folders.make(tmp_path / "model")
  out = tmp_path / "out"
  assert main([f"--workdir=hf:{folder}", f"--out={out}", "--license=mit"]) == 0
  assert "BertForMaskedLM" in capsys.readouterr().out
  assert manifest.verify(out) and read(out).kind == "BertForMaskedLM"
  assert "license: mit" in (out / "README.md").read_text()
  assert main([f"--workdir=hf:{folder}:encoder", f"--out={tmp_path}/part"]) == 0
  assert read(tmp_path / "part").kind == "BertModel"


def test_mistakes_are_one_line(tmp_path, capsys):
  folder = their_folders.make(tmp_path / "model")
  run = f"--workdir=hf:{folder}"
  for flags, message in (
    ([run], "--out: found nothing"),
    ([run, f"--out={folder}"], "is there already"),
    ([run, f"--out={tmp_path}/o", "--dtype=int8"], "--dtype: found 'int8'"),
    ([run, f"--out={tmp_path}/o", "--max_shard_size=5TB"], "--max_shard_size: found '5TB'"),
    ([run, f"--out={tmp_path}/o", "--weights=best"], "--weights: found 'best'"),
    ([run, f"--out={tmp_path}/o", "--architecture=GPT2Model"], "--architecture: found"),
    ([f"{run}:tail", f"--out={tmp_path}/o"], "no part 'tail'"),
    ([f"--workdir=hf:{tmp_path}/other", f"--out={tmp_path}/o"], "no such folder"),
  ):
    assert main(flags) == 2, flags
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1, error
  assert sorted(path.name for path in tmp_path.iterdir()) == ["model"]


def test_a_run_comes_through_with_its_moving_average(tmp_path, capsys):
  head = recipe(MaskedLMHead, embed_dim=8, vocab_size=400)
  sizes = {"max_length": 7, "embed_dim": 8, "num_layers": 1, "num_heads": 2, "mlp_dim": 6}
  objective = spec(MaskedLM, backbone=recipe(BERT, vocab_size=400, **sizes), head=head)
  _, params, extras = abstract_split(build(objective))
  online, ema = (jax.tree.map(lambda x, n=n: jnp.full(x.shape, n, x.dtype), params) for n in (1, 2))
  run, out = tmp_path / "run", tmp_path / "out"
  with Checkpoints(run) as checkpoints:
    state = {"params": online, "ema": ema, "extras": extras, "step": jnp.int32(3)}
    checkpoints.save(3, state, config=ConfigDict({"objective": objective}))
  (run / "tokenizer.json").write_text(tiny_texts.tokenizer().text)
  before = sorted(path.as_posix() for path in run.rglob("*"))
  assert main([f"--workdir={run}@3", f"--out={out}"]) == 0
  assert "of step 3 (encoder, head)" in capsys.readouterr().out
  found = load(f"hf:{out}")
  assert float(found.module.encoder.token_embedding[0, 0]) == 2
  assert found.tokenizer.encode("people hope") == tiny_texts.tokenizer().encode("people hope")
  assert found.tokenizer.begin_id == tiny_texts.tokenizer().begin_id
  online = [f"--workdir={run}:encoder", f"--out={tmp_path}/online", "--weights=online"]
  assert main(online) == 0
  assert float(load_encoder(f"hf:{tmp_path}/online").token_embedding[0, 0]) == 1
  assert sorted(path.as_posix() for path in run.rglob("*")) == before


def test_low_rank_updates_come_through_alone(tmp_path, capsys):
  head = recipe(MaskedLMHead, embed_dim=8, vocab_size=31)
  objective = spec(MaskedLM, backbone=recipe(BERT, **SIZES), head=head)
  made = adapted_run(objective)
  _, params, extras = split(made.module)
  run, out = tmp_path / "run", tmp_path / "out"
  config = ConfigDict({"objective": objective, "lora": made.config.lora, "init": "hf:base:encoder"})
  with Checkpoints(run) as checkpoints:
    state = {"params": params, "extras": extras, "step": jnp.int32(3)}
    checkpoints.save(3, state, config=config)
  assert main([f"--workdir={run}", f"--out={out}", "--form=peft"]) == 0
  assert "adapter of BertForMaskedLM" in capsys.readouterr().out
  assert manifest.verify(out)
  assert json.loads((out / "adapter_config.json").read_text())["base_model_name_or_path"] == "base"
  card = (out / "README.md").read_text()
  assert "library_name: peft" in card and 'PeftModel.from_pretrained(base, "FOLDER")' in card
  plain = [f"--workdir={run}", f"--out={tmp_path}/whole"]
  assert main(plain) == 0 and read(tmp_path / "whole").kind == "BertForMaskedLM"
  again = [f"--workdir=hf:{tmp_path}/whole", f"--out={tmp_path}/none", "--form=peft"]
  assert main(again) == 2
  assert "found a run without low-rank updates" in capsys.readouterr().err
