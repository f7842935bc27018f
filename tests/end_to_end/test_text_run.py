"""From text to a fine-tuned classifier: the tokenizer goes along, and no other one comes in."""

import json

import binaries
import pytest
import synthetic
import tiny_texts

from pretrainjax.checkpoint.encoder import load
from pretrainjax.data.tokenizer import Tokenizer

PRETRAIN = f"--config={binaries.ROOT}/configs/pretrain/text/bert_sotu.py:smoke"
FINETUNE = f"--config={binaries.ROOT}/configs/finetune/text/bert_spam_assassin.py:smoke"
QUICK = "--config.train.tracking.tensorboard=false"


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
  folder = tmp_path_factory.mktemp("data")
  for name in ("sotu", "spam_assassin"):
    synthetic.prepare(name, folder)
  return folder


@pytest.mark.repeat
def test_a_tokenizer_goes_from_the_data_to_whoever_loads_the_run(data_dir, tmp_path, capsys):
  run, data = tmp_path / "bert", f"--data_dir={data_dir}"
  ended = binaries.call(capsys, "pretrain", PRETRAIN, f"--workdir={run}", data, QUICK)
  assert ended.status == 0, ended.errors
  made = tiny_texts.tokenizer()
  assert Tokenizer.load(load(run).tokenizer_path).fingerprint == made.fingerprint
  rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
  (speed,) = [row for row in rows if "perf/tokens_per_second" in row]
  # 8 rows of 128 tokens, some of them padding.
  tokens = speed["perf/tokens_per_second"] / speed["perf/examples_per_second"]
  assert 100 < tokens <= 128

  tuned, other = tmp_path / "tuned", tmp_path / "other"
  arguments = ("finetune", FINETUNE, f"--config.init={run}", QUICK, data)
  ended = binaries.call(capsys, *arguments, f"--workdir={tuned}")
  assert ended.status == 0, ended.errors
  assert (tuned / "tokenizer.json").read_text() == (run / "tokenizer.json").read_text()

  (run / "tokenizer.json").write_text(tiny_texts.tokenizer(380).text)
  ended = binaries.call(capsys, *arguments, f"--workdir={other}")
  assert ended.status == 2 and not other.exists()
  (line,) = ended.errors
  assert line.startswith("finetune: error: --config.data.datasets: found tokenizer ")
  assert f"--config.tokenizer.path={run / 'tokenizer.json'}" in line
