"""Four objectives, added without a change of the package: trained, resumed, loaded, fine-tuned.

VICReg, BYOL (whose teacher is the encoder), CLIP (two fields of a record, a tower for each) and one
of another package, with its own encoder.
"""

import functools
import json
import math
import shutil
from pathlib import Path

import image_text
import jax
import new_objectives
import numpy as np
import optax
import pytest
import simulated
import toy_runs
from flax import nnx
from jax.sharding import PartitionSpec as P

from pretrainjax.checkpoint.encoder import load
from pretrainjax.config.allowed import ANYTHING, TargetError
from pretrainjax.config.text import load_config
from pretrainjax.errors import UserError
from pretrainjax.objectives.split import split
from pretrainjax.objectives.teacher import TeacherParam
from pretrainjax.train.assemble import assemble
from pretrainjax.train.sharding import state_specs
from pretrainjax.train.warm_start import first_state, take_parts

ALLOW = ("new_objectives", "image_text", "own_lab")
EIGHT = {
  "jit": {"mode": "jit"},
  "fsdp x tensor": {"mode": "jit", "data": 2, "fsdp": 2, "tensor": 2},
  "pmap": {"mode": "pmap"},
}


@pytest.fixture(scope="module")
def trained():
  """What three steps made of each objective, by "name, layout"."""

  def run(num_devices, layouts):
    script = Path(__file__).with_name("new_objectives_on_eight_devices.py")
    printed = simulated.run_on_devices(script, json.dumps(layouts), num_devices=num_devices)
    return json.loads(printed.splitlines()[-1])

  return run(8, EIGHT) | run(1, {"one": {"mode": "jit"}})


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
  """By name: the last state of a run, and its folder."""
  found = {}
  for name in new_objectives.NAMES:
    workdir = tmp_path_factory.mktemp(name)
    found[name] = (
      toy_runs.run(new_objectives.run_of(name), workdir),
      workdir,
    )
  return found


@pytest.mark.slow
@pytest.mark.parametrize("layout", EIGHT)
@pytest.mark.parametrize("name", new_objectives.NAMES)
def test_eight_devices_train_as_one_does(trained, name, layout):
  found, expected = trained[f"{name}, {layout}"], trained[f"{name}, one"]
  np.testing.assert_allclose(found["losses"], expected["losses"], rtol=1e-4)
  assert found["sums"].keys() == expected["sums"].keys()
  for path, value in expected["sums"].items():
    np.testing.assert_allclose(found["sums"][path], value, rtol=1e-3, atol=1e-4, err_msg=path)
  assert len(set(expected["losses"])) == 3


@pytest.mark.parametrize("name", new_objectives.NAMES)
def test_a_resumed_run_ends_with_the_same_bits(saved, name, tmp_path):
  expected, workdir = saved[name]
  assert toy_runs.saved(workdir) == [4, 2]
  again = tmp_path / "again"
  shutil.copytree(workdir, again)
  shutil.rmtree(again / "checkpoints" / "4")
  state = toy_runs.run(new_objectives.run_of(name), again)
  jax.tree.map(np.testing.assert_array_equal, state, expected)


def test_the_teacher_moved_by_the_formula():
  """Step by step, by hand, from the students that the same program makes."""
  to_run = new_objectives.run_of("byol")
  state = to_run.parallel.make(to_run.init)
  program = jax.jit(to_run.step())
  teacher = state.params["encoder"]
  for step in range(new_objectives.STEPS):
    state, _ = program(state, new_objectives.batch("byol", step))
    momentum = 1 - (1 - 0.9) * (math.cos(math.pi * step / new_objectives.STEPS) + 1) / 2
    teacher = jax.tree.map(
      lambda t, s, m=momentum: m * t + (1 - m) * s, teacher, state.params["encoder"]
    )
  found = state.extras["teacher"]["encoder"]
  jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-6), found, teacher)
  distance = optax.tree.norm(jax.tree.map(lambda a, b: a - b, found, state.params["encoder"]))
  assert distance > 1e-3  # it lags behind
  assert "teacher" not in state.params
  moments = jax.tree.leaves_with_path(state.opt_state)
  assert moments and not any("teacher" in jax.tree_util.keystr(path) for path, _ in moments)


def test_the_teacher_is_what_readers_get(saved):
  state, workdir = saved["byol"]
  encoder = load(workdir, allow=ALLOW).encoder
  _, params, extras = split(encoder)
  teacher = state.extras["teacher"]["encoder"]
  jax.tree.map(np.testing.assert_array_equal, params, teacher)
  assert not extras and not jax.tree.leaves(nnx.state(encoder, TeacherParam))
  rows = new_objectives.images(0, views=())["image"]
  gradient = nnx.grad(lambda net: net(rows).pooled.sum())(encoder)
  assert optax.tree.norm(nnx.to_pure_dict(gradient)) > 0


# By the case: which objective, what `--config.init` adds to its folder, and where the encoder lies.
TAKEN = {
  "vicreg": ("vicreg", "", "params", "encoder"),
  "byol, its teacher": ("byol", "", "extras", "teacher/encoder"),
  "clip, its tower of images": ("clip", ":image", "params", "image"),
  "clip, of an earlier step": ("clip", "@4:image", "params", "image"),
  "rotation": ("rotation", "", "params", "encoder"),
}


# The one with a teacher and the one with two towers; the others are repetitions.
FIRST = {"byol, its teacher", "clip, its tower of images"}
CASES = [c if c in FIRST else pytest.param(c, marks=pytest.mark.repeat) for c in TAKEN]


@pytest.mark.parametrize("case", CASES)
def test_it_can_be_fine_tuned(saved, case):
  name, reference, kind, place = TAKEN[case]
  state, workdir = saved[name]
  config = load_config("configs/finetune/image/vit_fashion_mnist.py:smoke")
  config.init = f"{workdir}{reference}"
  config.objective.num_classes, config.data.transform.size = 10, 28  # for no data are read here
  if name == "rotation":
    config.optimizer.layer_decay = None  # its encoder has no layers
  taken_parts = take_parts(config, allow=ALLOW)
  to_run = assemble(config, num_examples=512, allow=ANYTHING)
  first, _ = first_state(to_run, taken_parts)
  taken = functools.reduce(lambda tree, key: tree[key], place.split("/"), getattr(state, kind))
  for key in set(taken) - {"norm"}:  # which fine-tuning leaves behind
    jax.tree.map(np.testing.assert_array_equal, first.params["encoder"][key], taken[key])
  labels = {"label": np.arange(16, dtype=np.int32) % 10}
  after, metrics = jax.jit(to_run.step())(first, new_objectives.images(9, views=()) | labels)
  assert np.isfinite(metrics["loss"]) and int(after.bad_steps) == 0
  moved = jax.tree.map(lambda a, b: a - b, after.params["encoder"], first.params["encoder"])
  assert optax.tree.norm(moved) > 0


def test_the_tower_of_texts_can_be_taken_alone(saved):
  """Beside a new tower for images; readers take it as an encoder of texts."""
  state, workdir = saved["clip"]
  config = new_objectives.config_of("clip")
  config.seed, config.init = 1, f"{workdir}:text"
  taken_parts = take_parts(config, allow=ALLOW)
  first, _ = first_state(new_objectives.run_of("clip", config), taken_parts)
  jax.tree.map(np.testing.assert_array_equal, first.params["text"], state.params["text"])
  images = [x.params["image"] for x in (first, state)]
  assert optax.tree.norm(jax.tree.map(lambda a, b: a - b, *images)) > 1e-3
  encoder = load(f"{workdir}:text", allow=ALLOW).encoder
  assert encoder(encoder.inputs(new_objectives.batch("clip", 0))).pooled.shape == (16, 16)


def test_without_a_part_both_towers_go_on_and_neither_is_the_encoder(saved):
  state, workdir = saved["clip"]
  config = new_objectives.config_of("clip")
  config.seed, config.init = 1, str(workdir)
  taken_parts = take_parts(config, allow=ALLOW)
  first, lines = first_state(new_objectives.run_of("clip", config), taken_parts)
  assert [line.split()[1] for line in lines] == ["image", "text"]
  for part in ("image", "text"):
    jax.tree.map(np.testing.assert_array_equal, first.params[part], state.params[part])
  config = load_config("configs/finetune/image/vit_fashion_mnist.py:smoke")
  config.init = str(workdir)
  with pytest.raises(UserError, match="has no part 'encoder'.*image"):
    take_parts(config, allow=ALLOW)


@pytest.mark.parametrize("name", ["clip", "rotation"])
def test_another_package_must_be_allowed(saved, name):
  _, workdir = saved[name]
  with pytest.raises(TargetError, match="--allow="):
    load(workdir)


def test_images_and_texts_of_one_record_are_trained_on(tmp_path):
  """By the real pipeline; a run that was stopped and resumed sees the same pairs."""
  image_text.write(tmp_path / "data")
  config = new_objectives.config_of("clip")
  config.data.data_dir = str(tmp_path / "data")
  to_run = assemble(config, allow=ANYTHING)
  expected = toy_runs.run(to_run, tmp_path / "run")
  shutil.copytree(tmp_path / "run", tmp_path / "again")
  shutil.rmtree(tmp_path / "again/checkpoints/4")
  state = toy_runs.run(to_run, tmp_path / "again")
  jax.tree.map(np.testing.assert_array_equal, state, expected)
  assert all(np.isfinite(row["loss"]) for row in toy_runs.rows(tmp_path / "run"))


def test_the_teacher_is_cut_as_the_student_is():
  config = new_objectives.config_of("byol")
  config.objective.backbone.embed_dim = 256
  config.objective.backbone.mlp_dim = 1024
  config.objective.projector.in_dim = 256
  state = jax.eval_shape(new_objectives.run_of("byol", config).init)
  specs = state_specs(state, {"data": 1, "fsdp": 2, "tensor": 2, "context": 1})
  student, teacher = specs.params, specs.extras["teacher"]
  assert teacher["encoder"] == student["encoder"]
  assert teacher["encoder"]["blocks"]["mlp"]["up"]["kernel"] == P(None, "fsdp", "tensor")
  assert teacher["projector"]["linear0"] == student["projector"]["linear0"]
