"""Every config is built, traced at full size, and run for real in its smoke form.

Where a change of a golden file is wanted: pytest tests/test_every_config.py --renew-golden
"""

import dataclasses
import functools
import json
import math
import re
from pathlib import Path
from typing import Any

import binaries
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import synthetic
from ml_collections import ConfigDict

from pretrainjax.checkpoint.manager import Checkpoints
from pretrainjax.config import build
from pretrainjax.config.shipped import about
from pretrainjax.config.text import flatten, from_json, load_config, override, to_json
from pretrainjax.data.prepared_facts import PreparedFacts
from pretrainjax.errors import UserError
from pretrainjax.objectives.split import abstract_split
from pretrainjax.report.configs import config_markdown
from pretrainjax.train.assemble import assemble
from pretrainjax.train.open_values import fill_in

ROOT = Path(__file__).parents[1]
GOLDEN = Path(__file__).parent / "golden"
FILES = sorted(p for p in (ROOT / "configs").rglob("*.py") if p.parent.name != "blocks")
NAMES = [p.relative_to(ROOT / "configs").with_suffix("").as_posix() for p in FILES]
TRAINED = [n for n in NAMES if not n.startswith("evaluate/")]
# Smoke forms that the default run trains: of each verb and each modality one. All others are
# `repeat`: tests/objectives/ has their losses, and they are traced at full size.
DEFAULT = {
  "finetune/audio/conformer_classes",
  "finetune/image/vit_fashion_mnist",
  "finetune/text/bert_spam_assassin",
  "pretrain/audio/best_rq_sounds",
  "pretrain/image/mae_vit_fashion_mnist",
  "pretrain/items/esasrec_interactions",
  "pretrain/text/gpt_sotu",
}
SMOKED = [n if n in DEFAULT else pytest.param(n, marks=pytest.mark.repeat) for n in TRAINED]
# What a teacher comes from, whose sizes are those of the smoke form.
TEACHERS = {
  "pretrain/image/distill_vit_fashion_mnist": "pretrain/image/mae_vit_fashion_mnist",
  "pretrain/text/distill_bert_sotu": "pretrain/text/bert_sotu",
}
STEPS = 2
NOT_RUN = "not run to its end here"
# What the sets say of themselves that configs follow, by the sets of noise where not here: of those
# that `prepare` writes unless told otherwise.
VOCAB_SIZE = 8192
PREPARED = {"vocab_size": VOCAB_SIZE, "catalogue": "data/interactions/1.0.0"}
# Forms of the figures that are published, which stay what they were.
PUBLISHED = [
  (f"finetune/{name}", "published")
  for name in (
    "image/mlp_fashion_mnist",
    "image/vit_fashion_mnist",
    "text/bert_spam_assassin",
    "text/simcse_wordnet",
  )
]
# The config of a run whose folder has another name.
EVALUATED = {"spam": "bert_spam_assassin"}


def load(name: str, arg: str | None = None) -> ConfigDict:
  file = ROOT / "configs" / f"{name}.py"
  return load_config(f"{file}:{arg}" if arg else str(file))


def datasets(config: ConfigDict) -> set[str]:
  return {v for k, v in flatten(config).items() if k.split(".")[-1] == "datasets"}


def abstract_batch(config: ConfigDict) -> dict[str, jax.ShapeDtypeStruct]:
  """Shapes of a training batch at full size, from one example of noise."""
  changes = {"batch_size": 1, "cache": "none"}
  data = dataclasses.replace(build(config.data, path="config.data"), **changes)
  example = next(data.one_pass())
  return {
    name: jax.ShapeDtypeStruct((config.data.batch_size, *array.shape[1:]), array.dtype)
    for name, array in example.items()
    if name != "valid"
  }


@functools.cache
def data_dir(base: Path, name: str) -> Path:
  synthetic.prepare(name, base)
  return base


@pytest.fixture(scope="session")
def small_data(tmp_path_factory):
  """A function that makes a config's datasets, of noise, and says where they lie."""
  base = tmp_path_factory.mktemp("data")

  def place(name: str) -> Path:
    for dataset in datasets(load(name)):
      data_dir(base, dataset)
    return base

  return place


@pytest.mark.parametrize("name", TRAINED)
def test_full_size_traces(name, small_data):
  """Shapes and types of the real thing fit, though no array is ever made."""
  config = load(name)
  config.data.data_dir = str(small_data(name))
  run = assemble(config, num_examples=50_000)
  state = run.abstract_state
  after, metrics = jax.eval_shape(run.step(), state, abstract_batch(run.config))
  assert run.total_steps > STEPS
  assert jax.tree.map(lambda x: (x.shape, x.dtype), after) == jax.tree.map(
    lambda x: (x.shape, x.dtype), state
  )
  assert metrics["loss"].shape == () and metrics["loss"].dtype == jnp.float32
  assert {x.dtype for x in jax.tree.leaves(state.params)} == {jnp.dtype("float32")}


def teacher(name: str, data_dir: Path, workdir: Path) -> list[str]:
  """The flag that names a config's teacher, a run that was saved before its first step."""
  if name not in TEACHERS:
    return []
  config = load(TEACHERS[name], "smoke")
  config.data.data_dir = str(data_dir)
  run = assemble(config, num_examples=512)
  with Checkpoints(workdir) as checkpoints:
    checkpoints.save(0, jax.jit(run.init)(), config=run.config)
  return [f"--config.init.teacher={workdir}"]


@pytest.mark.parametrize("name", SMOKED)
def test_smoke_form_trains_and_evaluates(name, small_data, tmp_path, capsys):
  """The binary itself, to its end: rows of metrics, numbers of the evaluators, a checkpoint."""
  ended = binaries.call(
    capsys,
    name.partition("/")[0],
    f"--config={ROOT / 'configs' / name}.py:smoke",
    f"--workdir={tmp_path}",
    f"--data_dir={small_data(name)}",
    "--config.train.tracking.tensorboard=false",
    *teacher(name, small_data(name), tmp_path / "teacher"),
  )
  assert ended.status == 0, ended.errors
  rows = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
  assert [row["step"] for row in rows if "loss" in row] == list(range(1, STEPS + 1))
  assert all(math.isfinite(float(value)) for row in rows for value in row.values())
  assert rows[-1].get("bad_steps", 0) == 0
  evaluators = load(name, "smoke").evals
  measured = {key.partition("/")[0] for row in rows for key in row if "loss" not in row}
  assert measured >= set(evaluators), f"{measured} of {set(evaluators)}"
  with Checkpoints(tmp_path, read_only=True) as checkpoints:
    assert checkpoints.steps()[0] == STEPS


def test_the_default_run_trains_each_verb_on_each_modality():
  assert set(TRAINED) >= DEFAULT
  assert {n.rpartition("/")[0] for n in DEFAULT} == {n.rpartition("/")[0] for n in TRAINED}


@pytest.mark.parametrize("name", [n for n in NAMES if n not in TRAINED])
@pytest.mark.parametrize("arg", [None, "smoke"])
def test_evaluation_is_built(name, arg, small_data, monkeypatch):
  monkeypatch.setenv("PRETRAINJAX_DATA", str(small_data(name)))
  evaluators = build(filled(name, arg, small_data(name)).evals, path="config.evals")
  assert evaluators
  for key, evaluator in evaluators.items():
    assert evaluator.every == 0, f"{key}: `every` is for evaluation during training"
    assert json.dumps(evaluator.protocol())


@pytest.mark.parametrize("name", NAMES)
def test_a_misspelt_form_is_refused(name):
  """Or the full-size run would start."""
  if "smoke" in FILES[NAMES.index(name)].read_text():
    with pytest.raises(UserError, match="found the form ':smok'; did you mean 'smoke'"):
      load(name, "smok")


@pytest.mark.parametrize("name", NAMES)
def test_docstring_tells_command_minutes_and_score(name):
  """The command is one that runs; no figure stands there that the documents do not show."""
  told = about(FILES[NAMES.index(name)])
  verb, _, stem = name.split("/")
  flags = r"--workdir=runs/\w+((?: --[\w.]+(?:=[\w./]+)?)*)"
  typed = re.fullmatch(rf"pretrainjax {verb} --config=({stem}(?::\w+)?) {flags}", told.command)
  assert typed, told.command
  config = load_config(typed.group(1))
  for key, value in re.findall(r"--config\.([\w.]+)=(\S+)", typed.group(2)):
    override(config, key, value)
  is_run = told.minutes != NOT_RUN
  assert is_run != bool(re.match(rf"{NOT_RUN}(; published: .+)?$", told.expected))
  if is_run:
    assert re.match(r"(about |less than )?\d+,? .*cores of an AMD EPYC|not noted", told.minutes)
    figures = re.findall(r"\d+\.\d+", told.expected)
    pages = [ROOT / "README.md", *(p for p in (ROOT / "docs").glob("*.md") if p.stem != "configs")]
    shown = "\n".join(page.read_text() for page in pages)
    assert figures and all(figure in shown for figure in figures), told.expected


@pytest.mark.parametrize("name", NAMES)
def test_json_rebuilds_the_config(name):
  config = load(name)
  assert flatten(from_json(to_json(config))) == flatten(config)


def filled(name: str, arg: str | None, data_dir: Path) -> ConfigDict:
  """A config with what it leaves open filled in, as the data says and the run that is evaluated."""
  config = load(name, arg)
  if name not in TRAINED:
    command = about(FILES[NAMES.index(name)]).command
    run = EVALUATED.get(stem := re.search(r"--workdir=runs/(\w+)", command).group(1), stem)
    run = filled(next(n for n in TRAINED if n.endswith(f"/{run}")), arg, data_dir)
    whole = ConfigDict({"objective": run.objective, "data": run.data, "evals": config.evals})
    config.evals = fill_in(whole, only="evals", checks_data=False).evals
    return config
  facts = PreparedFacts(config.data.datasets, data_dir=str(data_dir))
  return fill_in(config, prepared=_as_prepared(facts))


def _as_prepared(facts: PreparedFacts) -> Any:
  """Facts of a set of noise, with the vocabulary of a real one, and where that would lie."""

  class Facts:
    def __getattr__(self, name: str) -> Any:
      return PREPARED[name] if name in PREPARED else getattr(facts, name)

  return Facts()


@pytest.mark.parametrize(("name", "form"), [*((name, None) for name in NAMES), *PUBLISHED])
def test_is_as_it_was(name, form, golden, small_data):
  """What a change moves is seen in review: all values, and what is trained."""
  config = filled(name, form, small_data(name))
  described = {"config": json.loads(to_json(config))}
  if name in TRAINED:
    described["parameters"] = parameters(config)
  golden(f"configs/{golden_name(name, form)}.json", json.dumps(described, indent=1) + "\n")


def golden_name(name: str, form: str | None) -> str:
  return f"{name}_{form}" if form else name


def parameters(config: ConfigDict) -> dict[str, str]:
  """Shape of each parameter by its path, and their sum."""
  _, params, _ = abstract_split(build(config.objective, path="config.objective"))
  leaves = jax.tree_util.tree_leaves_with_path(params)
  shapes = {".".join(k.key for k in path): " ".join(map(str, leaf.shape)) for path, leaf in leaves}
  return shapes | {"total": str(sum(int(np.prod(leaf.shape)) for _, leaf in leaves))}


def test_golden_files_have_a_config():
  stale = {p.relative_to(GOLDEN / "configs").with_suffix("").as_posix() for p in golden_files()}
  known = {*NAMES, *(golden_name(name, form) for name, form in PUBLISHED)}
  assert stale <= known, f"no config any more: {sorted(stale - known)}"


def golden_files() -> list[Path]:
  return sorted((GOLDEN / "configs").rglob("*.json"))


def test_the_page_of_configs_is_made_from_their_docstrings(request):
  page = ROOT / "docs/configs.md"
  head, end_of_comment, tables = page.read_text().partition(" -->\n")
  wanted = f"\n{config_markdown()}"
  if request.config.getoption("--renew-golden"):
    page.write_text(head + end_of_comment + wanted)
    return
  assert end_of_comment and tables == wanted, "run --renew-golden, and read the difference"
  assert all(f"`configs/{name}.py`" in tables for name in NAMES)
