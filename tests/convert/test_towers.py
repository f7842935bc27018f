import json

import numpy as np
import pytest
import their_folders

import pretrainjax as pj
from pretrainjax.checkpoint.encoder import load
from pretrainjax.convert import towers
from pretrainjax.convert.family import Tokens, class_for, family_of
from pretrainjax.convert.fields import Fields
from pretrainjax.convert.folder import open_model
from pretrainjax.errors import UserError
from pretrainjax.export.command import main
from pretrainjax.export.networks import networks_of
from pretrainjax.export.write import write_transformers

HOW = {"tokenizer": None, "kind": None, "dtype": "float32", "max_shard_size": 10**9}
KINDS = [kind for kind in their_folders.CONFIGS if kind.startswith(("CLIP", "Siglip"))]


@pytest.mark.parametrize("kind", KINDS)
def test_config_json_says_all_that_our_networks_are(kind):
  fields = Fields(their_folders.config_of(kind))
  family, _ = family_of(fields)
  recipes = family.read_config(fields, kind)
  assert class_for(recipes)[:2] == (family, kind)
  written = family.write_config(recipes, kind, Tokens())
  assert family.read_config(Fields(written), kind) == recipes


@pytest.mark.parametrize(
  ("kind", "prefix"),
  [("SiglipVisionModel", "vision_model."), ("SiglipTextModel", "text_model.")],
)
def test_a_tower_by_itself_has_a_prefix_in_version_4_and_none_in_5(kind, prefix, tmp_path):
  tensors = their_folders.tensors_of(kind)
  assert all(name.startswith(prefix) for name in tensors)
  bare = {name.removeprefix(prefix): tensor for name, tensor in tensors.items()}
  modules = [
    load(f"hf:{their_folders.make(tmp_path / name, kind, tensors=some)}").module
    for name, some in (("4", tensors), ("5", bare))
  ]
  inputs = np.zeros((1, 7, 7, 2), np.uint8) if "Vision" in kind else np.array([[1, 2]])
  first, second = (module.encoder(inputs).pooled for module in modules)
  np.testing.assert_array_equal(first, second)


def test_numbers_of_positions_are_no_parameters(tmp_path):
  tensors = their_folders.tensors_of("CLIPModel")
  for tower, count in (("vision", 5), ("text", 7)):
    name = f"{tower}_model.embeddings.position_ids"
    tensors[name] = np.arange(count, dtype=np.float32)[None]
  opened = open_model(their_folders.make(tmp_path, "CLIPModel", tensors=tensors))
  assert not [name for name in opened.matched.named if "position_ids" in name]


@pytest.mark.parametrize(
  ("kind", "part", "expected", "bare"),
  [
    ("CLIPModel", "image", "CLIPVisionModelWithProjection", "CLIPVisionModel"),
    ("CLIPModel", "text", "CLIPTextModelWithProjection", "CLIPTextModel"),
    ("SiglipModel", "image", "SiglipVisionModel", None),
    ("SiglipModel", "text", "SiglipTextModel", None),
  ],
)
def test_each_tower_is_exported_with_what_projects_its_features(
  kind, part, expected, bare, tmp_path
):
  folder = their_folders.make(tmp_path / "model", kind)
  for name, architecture in ((expected, None), *(((bare, bare),) if bare else ())):
    out = tmp_path / name
    flags = [f"--workdir=hf:{folder}:{part}", f"--out={out}"]
    assert main(flags + ([f"--architecture={architecture}"] if architecture else [])) == 0
    config = json.loads((out / "config.json").read_text())
    assert config["architectures"] == [name]
    inputs = np.zeros((1, 7, 7, 2), np.uint8) if part == "image" else np.array([[1, 9, 2]])
    found, tower = load(f"hf:{out}"), pj.load_encoder(f"hf:{folder}:{part}")
    np.testing.assert_array_equal(found.encoder(inputs).pooled, tower(inputs).pooled)
    has_one = kind == "CLIPModel" and architecture is None or expected == "SiglipTextModel"
    assert ("projector" in found.parts) == has_one


def test_the_whole_says_how_both_are_used(tmp_path, capsys):
  folder = their_folders.make(tmp_path / "model", "CLIPModel")
  assert main([f"--workdir=hf:{folder}", f"--out={tmp_path}/out"]) == 0
  assert "(image, image_projector, similarity, text, text_projector)" in capsys.readouterr().out
  card = (tmp_path / "out" / "README.md").read_text()
  for part in ("pipeline_tag: zero-shot-image-classification", "towers.embed_texts(tokens)"):
    assert part in card
  facts = json.loads((tmp_path / "out" / "preprocessor_config.json").read_text())
  assert facts["image_processor_type"] == "CLIPImageProcessor"
  assert (facts["size"], facts["do_center_crop"]) == ({"height": 7, "width": 7}, False)


def test_it_is_described_and_loaded_by_part(tmp_path):
  folder = their_folders.make(tmp_path, "SiglipModel")
  found = pj.describe(f"hf:{folder}")
  names = {"image": "ViT", "text": "TextTower", "text_projector": "Projector"}
  assert {name: part.architecture for name, part in found.parts.items()} == names | {
    "similarity": "Similarity"
  }
  assert found.parts["similarity"].parameters == 2
  assert found.parts["text_projector"].parameters == 6 * 8 + 8
  assert sum(part.bytes for part in found.parts.values()) == 4 * found.parameters
  assert list(pj.describe(f"hf:{folder}:text").parts) == ["text"]
  arrays = pj.load_params(f"hf:{folder}:image", sharding="numpy")
  expected = their_folders.tensors_of("SiglipModel")
  np.testing.assert_array_equal(
    arrays["attention_pool"]["probe"], expected["vision_model.head.probe"].reshape(-1)
  )
  with pytest.raises(UserError, match="the model has no part 'encoder'"):
    pj.load_params(f"hf:{folder}")


def test_what_no_class_holds_is_told(tmp_path):
  networks = networks_of(load(f"hf:{their_folders.make(tmp_path / 'm', 'CLIPModel')}"), None)
  recipes = {
    **networks.recipes,
    "similarity": networks.recipes["similarity"].copy_and_resolve_references(),
  }
  recipes["similarity"].bias = -10.0
  with pytest.raises(UserError, match="no class of transformers holds this ViT"):
    write_transformers(tmp_path, networks._replace(recipes=recipes), **HOW)


def test_a_layer_behind_a_tower():
  made = towers.projector(8, 5, use_bias=False)
  assert towers.is_projector(made, use_bias=False)
  assert not towers.is_projector(made, use_bias=True)
  assert not towers.is_projector(None, use_bias=False)
