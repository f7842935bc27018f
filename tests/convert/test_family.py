import re
from pathlib import Path

import pytest

from pretrainjax.config.objects import recipe
from pretrainjax.convert import bert, electra, roberta
from pretrainjax.convert.family import class_for, families, family_of, makes, with_prefix
from pretrainjax.convert.fields import Fields
from pretrainjax.errors import UserError
from pretrainjax.models.bert import BERT
from pretrainjax.models.lm_head import MaskedLMHead
from pretrainjax.models.resnet import ResNet

SIZES = {"vocab_size": 11, "max_length": 7, "embed_dim": 6, "num_layers": 2, "num_heads": 2}


def test_each_file_of_the_folder_that_has_classes_is_a_family():
  assert [family.MODEL_TYPE for family in families()] == [
    "audio-spectrogram-transformer",
    "bert",
    "clip",
    "clip_text_model",
    "clip_vision_model",
    "dinov2",
    "dinov2_with_registers",
    "distilbert",
    "electra",
    "gpt2",
    "hubert",
    "llama",
    "mistral",
    "modernbert",
    "qwen2",
    "qwen3",
    "resnet",
    "roberta",
    "siglip",
    "siglip_text_model",
    "siglip_vision_model",
    "t5",
    "vit",
    "vit_mae",
    "wav2vec2",
    "whisper",
  ]
  kinds = [kind for family in families() for kind in family.CLASSES]
  assert len(kinds) == len(set(kinds))


def test_a_class_is_found_by_its_name():
  fields = Fields({"architectures": ["RobertaModel"], "model_type": "roberta"})
  assert family_of(fields) == (roberta, "RobertaModel")
  assert family_of(Fields({"model_type": "bert"})) == (bert, "BertModel")


@pytest.mark.parametrize(
  "values, reason",
  [
    ({"architectures": ["BertForMaskedLN"]}, "did you mean 'BertForMaskedLM'"),
    ({"architectures": []}, "a list of one name"),
    ({"architectures": "BertModel"}, "a list of one name"),
    ({"architectures": [{}]}, "a list of one name"),
    ({"architectures": ["BertModel"], "model_type": "gpt2"}, "model_type: found 'gpt2'"),
    ({"architectures": ["BertModel"], "auto_map": {"AutoModel": "x.Y"}}, "never run"),
    ({"model_type": "bart"}, "a family that we have"),
    ({}, "model_type is missing"),
  ],
)
def test_others_are_refused(values, reason):
  with pytest.raises(UserError, match=reason):
    family_of(Fields(values))


def test_networks_are_written_as_the_class_that_holds_most_of_them():
  head = recipe(MaskedLMHead, embed_dim=6, vocab_size=11)
  backbone = recipe(BERT, **SIZES, mlp_dim=10)
  assert class_for({"backbone": backbone, "head": head}) == (
    bert,
    "BertForMaskedLM",
    ("backbone", "head"),
  )
  assert class_for({"backbone": backbone})[1] == "BertModel"
  assert class_for({"backbone": backbone, "head": head}, kind="BertModel")[2] == ("backbone",)
  one_type = recipe(BERT, **SIZES, mlp_dim=10, num_types=1)
  assert class_for({"backbone": one_type})[:2] == (roberta, "RobertaModel")
  narrow = recipe(BERT, **SIZES, mlp_dim=10, embedding_dim=4)
  assert class_for({"backbone": narrow})[:2] == (electra, "ElectraModel")


def test_what_no_class_can_be_is_refused():
  with pytest.raises(UserError, match="no class of transformers holds this BERT"):
    class_for({"backbone": recipe(BERT, **SIZES, mlp_dim=10, order="pre")})
  with pytest.raises(UserError, match="holds this ResNet .*, but one of timm"):
    class_for({"backbone": recipe(ResNet, stem="cifar")})
  with pytest.raises(UserError, match="found 'BertModell', expected a class that fits; did you"):
    class_for({"backbone": recipe(BERT, **SIZES, mlp_dim=10)}, kind="BertModell")


def test_prefixes_of_bare_models():
  assert with_prefix("encoder.x", "bert.", ("cls.",)) == "bert.encoder.x"
  assert with_prefix("bert.encoder.x", "bert.", ("cls.",)) == "bert.encoder.x"
  assert with_prefix("cls.x", "bert.", ("cls.",)) == "cls.x"
  assert not makes(None, BERT)


def test_the_page_lists_every_class_with_a_case_that_is_there():
  root = Path(__file__).parents[2]
  page = (root / "docs" / "weights.md").read_text()
  for library in ("transformers", "timm"):
    for kind in (kind for family in families(library) for kind in family.CLASSES):
      assert kind in page, kind
  rows = [line.split("|") for line in page.partition("| class |")[2].splitlines()[2:]]
  listed = {case for row in rows if len(row) == 6 for case in re.findall(r"`(\w+)`", row[4])}
  parity = root / "tests" / "parity"
  tests = "".join((parity / f"test_{name}.py").read_text() for name in ("round_trip", "timm"))
  assert listed == set(re.findall(r'^  "(\w+)": \(', tests, re.MULTILINE))
