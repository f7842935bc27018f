import json

import binaries
import byte_text
import jax.numpy as jnp
import pytest
from ml_collections import ConfigDict

import pretrainjax as pj
from pretrainjax.checkpoint.manager import Checkpoints
from pretrainjax.config import recipe, spec
from pretrainjax.models.gpt import GPT
from pretrainjax.objectives.autoregressive.causal_lm import CausalLM
from pretrainjax.objectives.split import split


@pytest.fixture(scope="module")
def workdir(tmp_path_factory):
  folder = tmp_path_factory.mktemp("runs") / "gpt"
  sizes = {**byte_text.SIZES, "mlp_dim": 16}
  config = ConfigDict({"objective": spec(CausalLM, backbone=recipe(GPT, **sizes))})
  params = {"encoder": split(byte_text.small_gpt())[1]}
  with Checkpoints(folder) as checkpoints:
    state = {"params": params, "extras": {}, "ema": None, "step": jnp.asarray(7)}
    checkpoints.save(7, state, config=config)
  (folder / "tokenizer.json").write_text(byte_text.byte_tokenizer().text)
  return folder


def test_generate_needs_nothing_but_the_folder(capsys, workdir):
  flags = ("--prompt=ab", "--max_new_tokens=17", "--seed=1")
  shown = binaries.call(capsys, "predict", "generate", f"--workdir={workdir}", *flags)
  assert shown.status == 0, shown
  (expected,) = pj.load_model(workdir).generate("ab", max_new_tokens=17, seed=1)
  assert shown.out == f"ab{expected.text}\n"
  out = workdir / "texts.jsonl"
  flags = (f"--workdir={workdir}@7", f"--out={out}", *flags)
  stored = binaries.call(capsys, "predict", "generate", *flags)
  assert stored.status == 0 and json.loads(out.read_text())["text"] == expected.text


def test_mistakes_are_one_line_and_status_two(capsys, workdir):
  for arguments, message in (
    (["genrate"], "no verb 'genrate'; did you mean 'generate'?"),
    (["generate", "--prompt=a"], "--workdir: found nothing"),
    (["generate", f"--workdir={workdir}", "--prmpt=a"], "unknown flag '--prmpt=a'"),
    (["generate", f"--workdir={workdir}2", "--prompt=a"], "no run's folder"),
    (["generate", f"--workdir={workdir}", "--top_k=many"], "--top_k"),
    (["generate", f"--workdir={workdir}", "--prompt=a", "--top_k=0"], "--top_k: found 0"),
  ):
    ended = binaries.call(capsys, "predict", *arguments)
    assert ended.status == 2 and len(ended.errors) == 1, ended
    assert message in ended.errors[0]


def test_help_tells_the_verbs_and_their_flags(capsys):
  whole = binaries.call(capsys, "predict", "--help")
  verbs = "generate,fill-mask,answer,transcribe,ngrams,classify,recommend,similar-items,start-items"
  assert whole.status == 0 and f"{{{verbs},embed}}" in whole.out
  assert binaries.call(capsys, "predict").status == 2
  for verb, flag in (
    ("generate", "--top_p"),
    ("embed", "--pool"),
    ("fill-mask", "--workdir"),
    ("answer", "--context"),
    ("transcribe", "--beam"),
    ("ngrams", "--order"),
    ("recommend", "--block_items"),
    ("similar-items", "--item"),
    ("start-items", "--recommender"),
  ):
    ended = binaries.call(capsys, "predict", verb, "--help")
    assert ended.status == 0 and flag in ended.out
