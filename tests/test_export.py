"""The command that exports, from its flags to its exit status."""

import their_folders

from pretrainjax.checkpoint import manifest
from pretrainjax.convert.folder import read
from pretrainjax.export.command import main


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
