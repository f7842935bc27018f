import argparse
import json

import byte_text
import pytest
from ml_collections import ConfigDict

from pretrainjax.checkpoint.encoder import Loaded
from pretrainjax.command import Request
from pretrainjax.errors import UserError
from pretrainjax.generation.model import TextModel
from pretrainjax.objectives.base import Objective, Towers
from pretrainjax.predict import generate_text


@pytest.fixture
def run(tmp_path):
  """Calls `predict generate` of a tiny run."""
  (tmp_path / "tokenizer.json").write_text(byte_text.byte_tokenizer().text)
  module = Towers(encoder=byte_text.small_gpt())
  loaded = Loaded(
    config=ConfigDict(), objective=Objective(), module=module, step=3, workdir=tmp_path
  )

  def call(*flags):
    parser = argparse.ArgumentParser()
    generate_text.add_flags(parser)
    flags = parser.parse_args(["--max_new_tokens=17", *map(str, flags)])
    generate_text.work(Request(ConfigDict(), tmp_path, flags), loaded)

  call.folder = tmp_path
  call.model = TextModel(module.encoder, byte_text.byte_tokenizer())
  return call


def test_one_prompt_is_shown_with_what_follows(run, capsys):
  run("--prompt=Abc", "--seed=2", "--temperature=0.9", "--top_k=50", "--top_p=0.95", "--stop=e")
  options = {"seed": 2, "temperature": 0.9, "top_k": 50, "top_p": 0.95, "stop": "e"}
  (expected,) = run.model.generate("Abc", max_new_tokens=17, **options)
  assert capsys.readouterr().out == f"Abc{expected.text}\n"


def test_many_prompts_become_lines_of_json_in_their_order(run, capsys):
  prompts = ["", "abcdef", "d\u00e9", "ab"]
  objects = [json.dumps({"prompt": p}) for p in prompts]
  (run.folder / "prompts.jsonl").write_text("\n".join(objects))
  flags = (f"--prompts={run.folder}/prompts.jsonl", "--batch_size=2")
  run(*flags)
  lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
  run(*flags, f"--out={run.folder}/out.jsonl")
  out = (run.folder / "out.jsonl").read_text(encoding="utf-8")
  assert [json.loads(line) for line in out.splitlines()] == lines
  assert capsys.readouterr().out == f"4 texts: {run.folder}/out.jsonl\n"
  expected = run.model.generate(prompts, max_new_tokens=17)
  assert lines == [
    {"prompt": p, "text": c.text, "reason": c.reason, "tokens": len(c.tokens)}
    for p, c in zip(prompts, expected, strict=True)
  ]
  assert sorted(p.name for p in run.folder.iterdir()) == [
    "out.jsonl",
    "prompts.jsonl",
    "tokenizer.json",
  ]


def test_an_end_at_the_context_is_said_and_can_be_passed(run, capsys):
  flags = ("--prompt=" + "x" * 60, "--max_new_tokens=30", "--temperature=0")
  run(*flags)
  (told,) = capsys.readouterr().err.splitlines()
  assert "it ends after 4 of 30 tokens" in told and "--slide goes on" in told
  run(*flags, "--slide")
  captured = capsys.readouterr()
  assert captured.err == "" and len(captured.out) > len("x" * 60) + 4
  (run.folder / "two.txt").write_text("ab\n" + "x" * 60)
  run(f"--prompts={run.folder}/two.txt", *flags[1:])
  captured = capsys.readouterr()
  assert "1 of 2 texts end after 4 of 30 tokens" in captured.err
  reasons = [json.loads(line)["reason"] for line in captured.out.splitlines()]
  assert reasons[1] == "context"


def test_lines_of_a_text_file_are_prompts(run, capsys):
  (run.folder / "prompts.txt").write_text("ab\nc\n")
  run(f"--prompts={run.folder}/prompts.txt")
  lines = capsys.readouterr().out.splitlines()
  assert [json.loads(line)["prompt"] for line in lines] == ["ab", "c"]


def test_conversations_are_prompts_as_prepare_text_makes_them(run, capsys):
  turns = [{"role": "user", "content": "ab"}, {"role": "assistant", "content": "c"}]
  lines = [json.dumps({"messages": turns[:count]}) for count in (1, 2)]
  (run.folder / "talks.jsonl").write_text("\n".join(lines))
  run(f"--prompts={run.folder}/talks.jsonl")
  lines = capsys.readouterr().out.splitlines()
  assert [json.loads(line)["prompt"] for line in lines] == ["ab", "ab"]


def test_mistakes_are_told_by_their_flag(run):
  (run.folder / "there.jsonl").touch()
  for flags, message in {
    (): "--prompt, --prompts: found none or both",
    ("--prompt=a", "--prompts=b.txt"): "--prompt, --prompts: found none or both",
    ("--prompt=a", "--temperature=-1"): "--temperature: found -1.0, expected 0 or above",
    ("--prompt=a", "--top_k=0"): "--top_k: found 0, expected at least 1",
    ("--prompt=a", "--top_p=0"): "--top_p: found 0.0, expected above 0",
    ("--prompt=a", "--max_new_tokens=0"): "--max_new_tokens: found 0",
    ("--prompt=a", "--stop="): "--stop: found an empty string",
    ("--prompt=a", "--seed=-1"): "--seed: found -1",
    ("--prompt=a", "--batch_size=0"): "--batch_size: found 0",
    ("--prompt=a", "--out=a.txt"): "--out: found 'a.txt', expected a .jsonl",
    ("--prompt=a", f"--out={run.folder}/there.jsonl"): "is there already",
    ("--prompt=a", "--out=nowhere/a.jsonl"): "--out: there is no folder 'nowhere'",
    ("--prompts=nowhere.txt",): "--prompts: no file 'nowhere.txt'",
  }.items():
    with pytest.raises(UserError, match=message.replace("(", r"\(")):
      run(*flags)
  (run.folder / "tokenizer.json").unlink()
  with pytest.raises(UserError, match="tokenizer.json is missing"):
    run("--prompt=a")
