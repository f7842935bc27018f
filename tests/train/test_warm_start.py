"""A run begins with parts of others: which ones, how they were made, and what became of them."""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import their_folders
from flax import nnx
from ml_collections import ConfigDict

from pretrainjax.checkpoint.manager import Checkpoints
from pretrainjax.config import build, recipe, spec
from pretrainjax.config.allowed import TARGET, TargetError
from pretrainjax.config.text import override
from pretrainjax.data.image import Resize
from pretrainjax.data.image_data import ImageData
from pretrainjax.errors import UserError
from pretrainjax.models.bert import BERT
from pretrainjax.models.heads import Head, Projector
from pretrainjax.models.lm_head import MaskedLMHead
from pretrainjax.models.mlp import MLP
from pretrainjax.models.t5 import T5Decoder, T5Encoder
from pretrainjax.objectives.base import Objective, Towers
from pretrainjax.objectives.masked.masked_lm import MaskedLM
from pretrainjax.objectives.masked.span_corruption import SpanCorruption
from pretrainjax.objectives.split import abstract_split
from pretrainjax.objectives.supervised.classification import Classification
from pretrainjax.objectives.supervised.distillation import Distillation
from pretrainjax.train.assemble import Train, assemble
from pretrainjax.train.duration import Duration
from pretrainjax.train.optimizer import Optimizer
from pretrainjax.train.warm_start import first_state, take_parts

SIZES = {"vocab_size": 29, "embed_dim": 8, "num_layers": 1, "num_heads": 2, "head_dim": 4}
SIZES |= {"mlp_dim": 16}
ALLOW = (__name__,)


@dataclasses.dataclass(frozen=True)
class TwoTowers(Objective):
  """A toy with a tower for each of two sides, and a teacher of one of them."""

  text: Callable
  image: Callable

  inherited = ("text", "image")

  def init(self, *, rngs):
    text, image = self.text(rngs=rngs), self.image(rngs=rngs)
    return Pair(text=text, image=image, scale=nnx.Linear(1, 1, rngs=rngs))

  def encoder(self, module):
    return module.image

  def parts(self, module):
    return {"text": module.text, "image": module.image}

  def after_load(self, module):
    module.scale.bias[...] = jnp.full((1,), 7.0)


class Pair(Towers):
  """Without an attribute `encoder`."""


def t5(**changes) -> ConfigDict:
  sizes = SIZES | changes
  backbone, decoder = recipe(T5Encoder, **sizes), recipe(T5Decoder, **sizes)
  return spec(SpanCorruption, backbone=backbone, decoder=decoder)


def mlp(width: int = 8) -> ConfigDict:
  return recipe(MLP, embed_dim=width, image_size=8)


def towers() -> ConfigDict:
  return spec(TwoTowers, text=recipe(T5Encoder, **SIZES), image=mlp())


def labels(backbone: ConfigDict) -> ConfigDict:
  head = recipe(Head, in_dim=8, num_classes=3)
  return spec(Classification, backbone=backbone, head=head, num_classes=3)


def config(objective: ConfigDict, init: Any = None, **more: Any) -> ConfigDict:
  data = spec(ImageData, datasets="x", split="train", batch_size=8, transform=spec(Resize, size=8))
  whole = {"seed": 0, "objective": objective, "data": data}
  whole |= {"optimizer": spec(Optimizer, learning_rate=1e-3)}
  whole |= {"train": spec(Train, duration=spec(Duration, steps=2), ema_decay=0.9)}
  return ConfigDict(whole | {"init": init} | more)


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
  """Folders of a trained T5, two towers and a classifier; all numbers of a run are alike."""
  folder = tmp_path_factory.mktemp("runs")
  made = {"t5": t5(), "towers": towers(), "labels": labels(mlp())}
  for number, (name, objective) in enumerate(made.items(), start=1):
    _, *shapes = abstract_split(build(objective, allow=ALLOW))
    params, extras = jax.tree.map(lambda x, n=number: jnp.full(x.shape, n, x.dtype), shapes)
    with Checkpoints(folder / name) as checkpoints:
      state = {"params": params, "extras": extras, "step": jnp.int32(3)}
      checkpoints.save(3, state, config=ConfigDict({"objective": objective}))
  return folder


def begin(config: ConfigDict) -> tuple[Any, list[str]]:
  taken = take_parts(config, allow=ALLOW)
  return first_state(assemble(config, num_examples=64, allow=ALLOW), taken)


def value(tree: Any) -> set[float]:
  """What numbers are in it, by which a run is told."""
  return {float(x) for leaf in jax.tree.leaves(tree) for x in np.unique(leaf)}


def test_without_init_nothing_is_taken():
  for nothing in (None, "", (), ConfigDict({"text": None})):
    assert take_parts(config(t5(), nothing), allow=()) == []


def test_a_t5_keeps_its_decoder_and_its_sizes(runs):
  wider = config(t5(mlp_dim=24), str(runs / "t5"), changes={"dropout": 0.1})
  state, lines = begin(wider)
  assert wider.objective.decoder.mlp_dim == 16 and wider.objective.backbone.mlp_dim == 16
  assert wider.objective.backbone.dropout == 0.1 and wider.objective.decoder.dropout == 0.0
  assert value(state.params) == value(state.ema) == {1.0}
  assert state.params["decoder"] is not state.ema["decoder"] and int(state.step) == 0
  assert [line.partition(" from ")[0] for line in lines] == ["init encoder", "init decoder"]
  assert all("t5, step 3: loaded " in line and "new: none" in line for line in lines)


@pytest.mark.parametrize("part", ["encoder", "decoder"])
def test_one_part_leaves_the_other_new(part, runs):
  state, lines = begin(config(t5(), f"{runs / 't5'}@3:{part}"))
  other = {"encoder": "decoder", "decoder": "encoder"}[part]
  assert value(state.params[part]) == {1.0} and len(value(state.params[other])) > 9
  assert len(lines) == 1 and lines[0].startswith(f"init from {runs / 't5'}@3:{part}, step 3: load")


def test_parts_of_several_runs(runs):
  both = f"{runs / 't5'}:encoder, {runs / 't5'}@3:decoder"
  assert value(begin(config(t5(), both))[0].params) == {1.0}
  pair = (f"{runs / 'towers'}:text", f"{runs / 'towers'}:image")
  state, _ = begin(config(towers(), pair))
  assert value(state.params["text"]) == value(state.params["image"]) == {2.0}


def test_towers_are_taken_one_by_one(runs):
  state, _ = begin(config(towers(), f"{runs / 'towers'}:text"))
  assert value(state.params["text"]) == {2.0} and len(value(state.params["image"])) > 9
  assert value(state.params["scale"]["bias"]) == {7.0}, "after_load has been called"
  # One that the new run has not becomes its encoder.
  state, lines = begin(config(labels(mlp()), f"{runs / 'towers'}:image"))
  assert value(state.params["encoder"]) == {2.0} and len(lines) == 1


def test_towers_are_filled_from_runs_that_had_one_network(runs):
  init = ConfigDict({"text": f"{runs / 't5'}", "image": f"{runs / 'labels'}:encoder"})
  state, lines = begin(config(towers(), init))
  assert value(state.params["text"]) == {1.0} and value(state.params["image"]) == {3.0}
  assert {line.split()[1] for line in lines} == {"text", "image"}


def test_a_head_is_taken_only_by_name(runs):
  state, _ = begin(config(labels(mlp()), f"{runs / 'labels'}"))
  assert value(state.params["encoder"]) == {3.0} and value(state.params["head"]) != {3.0}
  state, _ = begin(config(labels(mlp()), f"{runs / 'labels'}:encoder,{runs / 'labels'}:head"))
  assert value(state.params) == {3.0}


def distillation(width: int = 4) -> ConfigDict:
  projector = recipe(Projector, in_dim=width, out_dim=8, num_layers=1, batch_norm=False)
  heads = {"head": recipe(Head, in_dim=width, num_classes=3)}
  heads |= {"teacher_head": recipe(Head, in_dim=8, num_classes=3)}
  return spec(Distillation, backbone=mlp(width), teacher=mlp(), projector=projector, **heads)


def test_a_teacher_comes_from_another_run_and_is_no_parameter(runs):
  init = ConfigDict({"encoder": None, "teacher": None, "teacher_head": None})
  init.update({"teacher": f"{runs / 'labels'}", "teacher_head": f"{runs / 'labels'}:head"})
  whole = config(distillation(), init)
  whole.objective.teacher.image_size = 4  # its run knows better
  state, lines = begin(whole)
  assert whole.objective.teacher.image_size == 8
  assert value(state.extras) == {3.0} and set(state.extras) == {"teacher", "teacher_head"}
  for tree in (state.params, state.ema):
    assert set(tree) == {"encoder", "projector", "head"} and 3.0 not in value(tree["encoder"])
  kept = [jax.tree_util.keystr(path) for path, _ in jax.tree.leaves_with_path(state.opt_state)]
  assert kept and not any("teacher" in path for path in kept)
  assert {line.split()[1] for line in lines} == {"teacher", "teacher_head"}


@pytest.mark.parametrize(
  ("init", "part"), [({}, "teacher"), ({"teacher": "labels"}, "teacher_head")]
)
def test_a_teacher_that_no_run_lends_is_refused(init, part, runs):
  named = ConfigDict({key: str(runs / name) for key, name in init.items()})
  with pytest.raises(UserError, match=rf"--config.init.{part}: found none, expected the run"):
    take_parts(config(distillation(), named), allow=())


def test_what_cannot_be_taken_is_said(runs):
  run = runs / "t5"
  for init, said in {
    f"{run}:decodr": r"t5 has no part 'decodr'; did you mean 'decoder'\?",
    f"{run}:encoder,{run}:encoder": "'encoder' is taken twice, from ",
    f"{run}@x": "t5@x: no run's folder, .* did you mean 't5'",
    f"{runs / 't6'}": "no run's folder, checkpoints/ is missing; valid: labels, t5, towers",
  }.items():
    with pytest.raises(UserError, match=said):
      take_parts(config(t5(), init), allow=())
  with pytest.raises(UserError, match="the new run has no part 'sound'; valid: decoder, encoder"):
    begin(config(t5(), ConfigDict({"sound": str(run)})))
  with pytest.raises(UserError, match="--config.changes.drpout: no such argument; did you mean 'd"):
    take_parts(config(t5(), str(run), changes={"drpout": 0.1}), allow=())


def test_classes_of_another_package_are_asked_for(runs):
  one = config(labels(mlp()), f"{runs / 'towers'}:image")
  with pytest.raises(TargetError, match=f"--allow={__name__.partition('.')[0]}"):
    take_parts(one, allow=())
  assert one.objective.backbone[TARGET] == "pretrainjax.models.mlp:MLP"


def typed_flags(runs, **flags) -> ConfigDict:
  """A run from the T5's parts as flags changed it, and what its file said."""
  whole = config(t5(), str(runs / "t5"), changes={"dropout": 0.1})
  defaults = whole.copy_and_resolve_references()
  for key, text in flags.items():
    override(whole, key, text)
  take_parts(whole, allow=ALLOW, defaults=defaults)
  return whole


def test_any_argument_of_any_part_may_be_changed_by_a_flag(runs):
  flags = {"changes.pool": "mean", "changes.decoder.dropout": "0.3", "changes.dropout": "0.2"}
  objective = typed_flags(runs, **flags).objective
  assert (objective.backbone.pool, objective.backbone.dropout) == ("mean", 0.2)
  assert objective.decoder.dropout == 0.3


@pytest.mark.parametrize(
  ("key", "said"),
  [
    ("objective.backbone.pool", "backbone.pool: without effect, .*--config.changes.pool=cls"),
    ("objective.decoder.eps", "decoder.eps: without effect, .*--config.changes.decoder.eps=0.5"),
    ("changes.poll", "changes.poll: no such argument; did you mean 'pool'"),
    ("changes.decoder.dropuot", "dropuot: no such argument; did you mean 'dropout'"),
    ("changes.decode.dropout", "config.init brings no 'decode'; did you mean 'decoder'"),
  ],
)
def test_a_flag_is_applied_or_refused(key, said, runs):
  with pytest.raises(UserError, match=said):
    typed_flags(runs, **{key: "cls" if "eps" not in key else "0.5"})


def test_changes_without_init_are_refused():
  whole = config(t5(), None, changes={"dropout": 0.1})
  defaults = whole.copy_and_resolve_references()
  override(whole, "changes.dropout", "0.2")
  with pytest.raises(UserError, match="without effect, .*--config.objective.backbone.dropout"):
    take_parts(whole, allow=(), defaults=defaults)
  assert take_parts(defaults, allow=(), defaults=defaults) == [], "the file's own may stay"


def test_a_model_of_transformers_goes_on(tmp_path):
  folder = their_folders.make(tmp_path / "bert")
  sizes = {"vocab_size": 11, "max_length": 7, "num_layers": 1, "num_heads": 2, "mlp_dim": 4}
  head = recipe(MaskedLMHead, embed_dim=6, vocab_size=11)
  objective = spec(MaskedLM, backbone=recipe(BERT, embed_dim=6, **sizes), head=head)
  state, lines = begin(config(objective, f"hf:{folder}"))
  tensors = their_folders.tensors_of("BertForMaskedLM")
  for found, name in (
    (state.params["encoder"]["token_embedding"], "bert.embeddings.word_embeddings.weight"),
    (state.params["head"]["bias"], "cls.predictions.bias"),
  ):
    np.testing.assert_array_equal(found, tensors[name])
  assert lines[0].startswith(f"init encoder from hf:{folder}: loaded") and len(lines) == 2
  shorter = config(objective.copy_and_resolve_references(), f"hf:{folder}")
  shorter.changes = ConfigDict({"max_length": 4})
  assert "resized position_table" in begin(shorter)[1][0]


def test_a_head_of_another_kind_is_not_inherited(tmp_path):
  tuned = their_folders.make(tmp_path / "tuned", "BertForSequenceClassification")
  head = recipe(MaskedLMHead, embed_dim=6, vocab_size=11)
  sizes = {"vocab_size": 11, "max_length": 7, "num_layers": 1, "num_heads": 2, "mlp_dim": 4}
  objective = spec(MaskedLM, backbone=recipe(BERT, embed_dim=6, **sizes), head=head)
  taken = take_parts(config(objective, f"hf:{tuned}"), allow=ALLOW)
  assert [one.name for one in taken] == ["encoder"]
