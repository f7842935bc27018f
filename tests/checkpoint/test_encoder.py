"""A run's encoder, from nothing but the path."""

import shutil

import damage
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from ml_collections import ConfigDict

import pretrainjax as pj
from pretrainjax.checkpoint import manifest
from pretrainjax.checkpoint.encoder import load
from pretrainjax.checkpoint.manager import Checkpoints
from pretrainjax.config import build, recipe, spec
from pretrainjax.config.allowed import TargetError
from pretrainjax.config.moved import MOVED
from pretrainjax.errors import UserError
from pretrainjax.models.heads import Head
from pretrainjax.models.resnet import ResNet
from pretrainjax.models.vit import ViT
from pretrainjax.objectives.split import abstract_split
from pretrainjax.objectives.supervised.classification import Classification
from pretrainjax.types import Encoder

IMAGES = np.random.default_rng(0).integers(0, 256, (3, 8, 8, 3), np.uint8)
VIT = {"image_size": 8, "patch_size": 4, "embed_dim": 16, "num_layers": 2, "num_heads": 2}


def objective(backbone=None):
  backbone = backbone or recipe(ViT, mlp_dim=32, **VIT)
  head = recipe(Head, in_dim=backbone.get("embed_dim", 512), num_classes=4)
  whole = spec(Classification, backbone=backbone, head=head, num_classes=4)
  return ConfigDict({"objective": whole})


def arrays(config):
  """(params, extras) of noise: a network's own initial values take seconds."""
  rng = np.random.default_rng(0)
  _, *shapes = abstract_split(build(config.objective))
  return jax.tree.map(lambda x: jnp.asarray(rng.normal(0, 0.1, x.shape), x.dtype), shapes)


def save(workdir, steps=(1, 2), *, ema=True, config=None, like=None):
  """Checkpoints as training makes them; the parameters of step s are all moved by s.

  Where `config` cannot be built here, they are of the networks of `like`.
  """
  config = config or objective()
  params, extras = arrays(like or config)
  with Checkpoints(workdir) as checkpoints:
    for step in steps:
      moved = jax.tree.map(lambda x, by=step: x + 0.01 * by, params)
      average = jax.tree.map(lambda x: x + 0.5, moved) if ema else None
      state = {"params": moved, "extras": extras, "ema": average, "step": jnp.asarray(step)}
      checkpoints.save(step, state, config=config)


def first(encoder) -> float:
  """One number that says which parameters these are."""
  return float(encoder.norm.bias[...][0])


@pytest.fixture(scope="module")
def workdir(tmp_path_factory):
  folder = tmp_path_factory.mktemp("runs") / "mae"
  save(folder)
  return folder


def test_is_an_encoder_that_jits_and_differentiates(workdir):
  encoder = pj.load_encoder(str(workdir))
  assert isinstance(encoder, Encoder) and encoder.embed_dim == 16
  eager = encoder(IMAGES)
  assert eager.pooled.shape == (3, 16) and eager.tokens.shape == (3, 4, 16)
  jitted = jax.jit(lambda images: encoder(images).pooled)(IMAGES)  # frozen: closed over
  np.testing.assert_allclose(jitted, eager.pooled, atol=1e-4)

  graphdef, params = nnx.split(encoder)  # bare, for code that is not NNX

  @jax.jit
  def loss(params, images):
    return jnp.mean(nnx.merge(graphdef, params)(images).pooled ** 2)

  grads = jax.grad(loss)(params, IMAGES)
  assert jax.tree.structure(grads) == jax.tree.structure(params)
  assert all(np.isfinite(g).all() for g in jax.tree.leaves(grads))
  assert any(np.abs(g).max() > 0 for g in jax.tree.leaves(grads))


def test_step_and_weights_are_chosen(workdir):
  online = {s: first(pj.load_encoder(workdir, step=s, weights="online")) for s in (1, 2)}
  assert online[2] - online[1] == pytest.approx(0.01, abs=1e-6)
  assert first(pj.load_encoder(workdir)) == pytest.approx(online[2] + 0.5, abs=1e-6)
  assert first(pj.load_encoder(workdir, weights="ema")) == first(pj.load_encoder(workdir))
  assert load(f"{workdir}@1").step == 1
  assert load(workdir).step == 2


def test_without_an_average_the_trained_weights_are_it(tmp_path):
  save(tmp_path, ema=False)
  online = first(pj.load_encoder(tmp_path, weights="online"))
  assert first(pj.load_encoder(tmp_path)) == online
  with pytest.raises(UserError, match="weights='ema', but the run kept no moving average"):
    pj.load_encoder(tmp_path, weights="ema")


def test_all_of_the_objective_comes_back(workdir):
  loaded = load(workdir)
  assert loaded.module.head is not None
  assert loaded.config.objective.num_classes == 4
  assert type(loaded.objective) is Classification


def test_a_run_on_text_has_its_tokenizer(workdir, tmp_path):
  assert load(workdir).tokenizer_path is None
  save(tmp_path, steps=[1])
  (tmp_path / "tokenizer.json").write_text("{}")
  assert load(f"{tmp_path}@1").tokenizer_path == tmp_path / "tokenizer.json"


def test_batch_statistics_come_along(tmp_path):
  config = objective(recipe(ResNet, depth=18, stem="cifar"))
  save(tmp_path, steps=[3], ema=False, config=config)
  encoder = pj.load_encoder(tmp_path)
  statistics = nnx.to_pure_dict(nnx.state(encoder, nnx.BatchStat))
  assert jax.tree.leaves(statistics)
  # Whatever is not a parameter is what was saved, not a shape.
  assert all(isinstance(x, jax.Array) for x in jax.tree.leaves(statistics))


def _flip(workdir, step):
  damage.flip(damage.array_data(workdir / "checkpoints" / str(step)))


def test_a_class_that_has_moved_is_found_where_it_is_now(workdir, monkeypatch, tmp_path):
  config = objective()
  config.objective.backbone["_target"] = "pretrainjax.models.vit_of_old:OldViT"
  save(tmp_path, config=config, like=objective())
  with pytest.raises(TargetError, match="models.vit_of_old:OldViT' does not exist"):
    load(tmp_path)
  monkeypatch.setitem(MOVED, "pretrainjax.models.vit_of_old:OldViT", "pretrainjax.models.v:ViT")
  monkeypatch.setitem(MOVED, "pretrainjax.models.v:ViT", "pretrainjax.models.vit:ViT")
  loaded = load(tmp_path)
  assert type(loaded.encoder) is ViT and loaded.step == 2
  assert loaded.config.objective == load(workdir).config.objective


@pytest.mark.parametrize(
  ("target", "said"),
  [
    ("lab_of_nobody.net:Net", r'--allow=lab_of_nobody, or allow=\("lab_of_nobody",\) in Python'),
    ("pretrainjax.models.vit:Vitt", "another version of pretrainjax wrote it"),
    ("pretrainjax.prepare:Net", "expected 'module:Name' of what configs may build"),
  ],
)
def test_a_class_that_is_not_to_be_had_is_no_damage(target, said, tmp_path, caplog):
  save(tmp_path, steps=[1])
  config = objective()
  config.objective.backbone["_target"] = target
  save(tmp_path, steps=[2], config=config, like=objective())
  with pytest.raises(TargetError, match=said) as refusal:
    load(tmp_path)
  assert f"{tmp_path}: config.objective.backbone._target: " in str(refusal.value)
  assert "DAMAGED" not in caplog.text, "nor is an older step taken"
  assert load(tmp_path, step=1).step == 1


def test_classes_that_only_training_needs_are_not_looked_for(tmp_path):
  config = objective()
  config.data = {"_target": "lab_of_nobody.data:Data", "split": "train"}
  save(tmp_path, steps=[1], config=config)
  assert load(tmp_path).config.data.to_dict() == config.data.to_dict()


def test_a_package_is_let_in_by_name(tmp_path, monkeypatch):
  (tmp_path / "lab_of_mine.py").write_text(
    "from pretrainjax.models.vit import ViT as Base\nclass Net(Base):\n  pass\n"
  )
  config = objective()
  config.objective.backbone["_target"] = "lab_of_mine:Net"
  save(tmp_path / "run", config=config, like=objective())
  with pytest.raises(TargetError, match="--allow=lab_of_mine"):
    pj.load_encoder(tmp_path / "run")
  with pytest.raises(TargetError, match="install the package 'lab_of_mine', or put its folder on"):
    pj.load_encoder(tmp_path / "run", allow="lab_of_mine")
  monkeypatch.syspath_prepend(tmp_path)
  encoder = pj.load_encoder(tmp_path / "run", allow="lab_of_mine")
  assert type(encoder).__module__ == "lab_of_mine"
  assert pj.load(tmp_path / "run", allow=("other", "lab_of_mine")).step == 2
  with pytest.raises(UserError, match="--allow: found 'os', which is Python's own"):
    pj.load(tmp_path / "run", allow=("os",))


def test_damage_is_passed_over_loudly_unless_the_step_was_named(tmp_path, caplog):
  save(tmp_path)
  _flip(tmp_path, 2)
  assert load(tmp_path).step == 1
  assert "CHECKPOINT DAMAGED" in caplog.text
  with pytest.raises(UserError, match="no intact checkpoint among \\[2\\]"):
    load(tmp_path, step=2)
  _flip(tmp_path, 1)
  with pytest.raises(UserError, match="no intact checkpoint among \\[2, 1\\]"):
    load(tmp_path)


def test_what_is_not_there_is_said(workdir):
  with pytest.raises(UserError, match="checkpoints/ is missing; did you mean 'mae'?"):
    pj.load_encoder(workdir.parent / "mea")
  with pytest.raises(UserError, match=r"has not checkpoint 7; saved: \[2, 1\]"):
    pj.load_encoder(workdir, step=7)


def test_parts_come_with_their_recipes(workdir):
  parts = load(workdir).parts
  assert set(parts) == {"encoder", "head"}
  again = build(parts["encoder"].config)(rngs=nnx.Rngs(0))
  shapes = [jax.tree.map(jnp.shape, nnx.state(m)) for m in (again, parts["encoder"].module)]
  assert shapes[0] == shapes[1]
  assert build(parts["head"].config)(rngs=nnx.Rngs(0)).num_classes == 4


def test_a_part_is_loaded_by_its_name(workdir):
  assert first(pj.load_encoder(f"{workdir}@1:encoder")) == first(pj.load_encoder(workdir, step=1))
  assert load(f"{workdir}:encoder").part == "encoder"
  with pytest.raises(UserError, match=r"mae:head': found a Head, expected an encoder; `load\(RUN"):
    pj.load_encoder(f"{workdir}:head")
  with pytest.raises(UserError, match="mae:heda': the run has no part 'heda'; did you mean 'head'"):
    load(f"{workdir}:heda")


def test_loading_writes_nothing(workdir):
  before = {p: p.stat().st_mtime_ns for p in workdir.rglob("*")}
  pj.load_encoder(workdir)
  assert {p: p.stat().st_mtime_ns for p in workdir.rglob("*")} == before


def test_arrays_that_do_not_fit_the_config_are_refused(tmp_path, caplog):
  config = objective()
  params, extras = arrays(config)
  config.objective.backbone.mlp_dim = 48
  with Checkpoints(tmp_path) as checkpoints:
    checkpoints.save(1, {"params": params, "extras": extras}, config=config)
  with pytest.raises(UserError, match=r"@1: 3 arrays do not fit: params.encoder.blocks.mlp.down.k"):
    pj.load_encoder(tmp_path)
  assert "float32[2, 32, 16]  float32[2, 48, 16]" in caplog.text


def test_another_dtype_is_not_cast(tmp_path):
  config = objective()
  params, extras = arrays(config)
  params["encoder"]["norm"]["bias"] = params["encoder"]["norm"]["bias"].astype(jnp.bfloat16)
  with Checkpoints(tmp_path) as checkpoints:
    checkpoints.save(1, {"params": params, "extras": extras}, config=config)
  with pytest.raises(UserError, match=r"saved bfloat16\[16\] wanted float32\[16\]"):
    pj.load_encoder(tmp_path)


def test_a_step_that_a_trainer_deletes_meanwhile_is_left_for_a_newer_one(
  tmp_path, monkeypatch, caplog
):
  save(tmp_path, steps=[1])
  read, steps = Checkpoints.arrays, []

  def slowly(self, step):
    steps.append(step)
    if step == 1:
      save(tmp_path, steps=[2])
      shutil.rmtree(tmp_path / "checkpoints" / "1")
    return read(self, step)

  monkeypatch.setattr(Checkpoints, "arrays", slowly)
  assert load(tmp_path).step == 2
  assert steps == [1, 2] and "DAMAGED" not in caplog.text


def test_a_published_run_is_compared_with_its_manifest(tmp_path):
  save(tmp_path, steps=[1])
  manifest.write(tmp_path)
  (tmp_path / "evaluation").mkdir()  # what evaluate adds does not matter
  (tmp_path / "evaluation" / "results.jsonl").write_text("")
  load(tmp_path)
  damage.flip(tmp_path / "checkpoints" / "1" / "_CHECKPOINT_METADATA")
  with pytest.raises(UserError, match="1/_CHECKPOINT_METADATA: is not what MANIFEST.json lists"):
    load(tmp_path)
