"""What sentence-transformers says of an encoder, as its versions have said it."""

import json

import pytest

from pretrainjax.convert.sentence_transformers import read_pooling
from pretrainjax.errors import UserError

OLD, NEW = "sentence_transformers.models", "sentence_transformers.sentence_transformer.modules"


def write(folder, **files):
  for name, content in files.items():
    path = folder / {"pooling": "1_Pooling/config"}.get(name, name)
    path.parent.mkdir(exist_ok=True)
    path.with_name(f"{path.name}.json").write_text(json.dumps(content))
  return folder


def modules(*kinds, package=OLD):
  places = ("", "1_Pooling", "2_More", "3_More")
  return [
    {"path": place, "type": f"{package}.{kind}"} for place, kind in zip(places, kinds, strict=False)
  ]


@pytest.mark.parametrize(
  "said, pool",
  [
    ({"pooling_mode_mean_tokens": True, "pooling_mode_cls_token": False}, "mean"),
    ({"pooling_mode_cls_token": True, "word_embedding_dimension": 6}, "cls"),
    ({"pooling_mode_lasttoken": True}, "last"),
    ({"pooling_mode": "mean", "embedding_dimension": 6, "include_prompt": True}, "mean"),
    ({"pooling_mode": ["lasttoken"]}, "last"),
    ({"pooling_mode": "cls"}, "cls"),
  ],
)
def test_pooling_as_before_version_6_and_since(said, pool, tmp_path, caplog):
  write(tmp_path, pooling=said)
  assert read_pooling(tmp_path, inside=tmp_path) == pool
  write(tmp_path, modules=modules("transformer.Transformer", "pooling.Pooling", package=NEW))
  assert read_pooling(tmp_path, inside=tmp_path) == pool
  assert not caplog.text


def test_a_folder_of_transformers_alone_says_nothing(tmp_path):
  assert read_pooling(tmp_path, inside=tmp_path) is None


@pytest.mark.parametrize(
  "files, reason",
  [
    ({"pooling": {"pooling_mode": "max"}}, "pooling_mode: found 'max', expected what ours can be"),
    ({"pooling": {"pooling_mode": ["cls", "mean"]}}, r"pooling_mode: found \['cls', 'mean'\]"),
    ({"pooling": {"pooling_mode_max_tokens": True}}, "found pooling_mode_max_tokens true"),
    ({"pooling": {"pooling_mode_mean_tokens": False}}, "found none true, expected one of"),
    ({"pooling": {"pooling_mode_mean_tokens": "yes"}}, "found 'yes', expected true or false"),
    (
      {"pooling": {"pooling_mode_mean_tokens": True, "pooling_mode_cls_token": True}},
      "found pooling_mode_mean_tokens and pooling_mode_cls_token true",
    ),
    ({"pooling": []}, "is no dictionary"),
    ({"modules": {}}, "is no list of modules"),
    ({"modules": modules("Transformer")}, "found Transformer, expected a Transformer in"),
    ({"modules": modules("Pooling", "Transformer")}, "found Pooling, Transformer, expected"),
    (
      {"modules": modules("Transformer", "Pooling", "Dense")},
      "found a Dense, .* without modules.json the encoder is taken alone",
    ),
    (
      {"modules": [modules("Transformer")[0], {"path": "../../etc", "type": "x.Pooling"}]},
      "leads out of|cannot be read",
    ),
  ],
)
def test_what_ours_cannot_do_is_refused(files, reason, tmp_path):
  folder = tmp_path / "model"
  folder.mkdir()
  (tmp_path / "etc").mkdir()
  (tmp_path / "etc" / "config.json").write_text('{"pooling_mode": "cls"}')
  with pytest.raises(UserError, match=reason):
    read_pooling(write(folder, **files), inside=folder)


def test_what_is_done_there_and_not_here_is_told(tmp_path, caplog):
  write(
    tmp_path,
    pooling={"pooling_mode": "mean"},
    modules=modules("Transformer", "Pooling", "Dropout", "Normalize"),
    sentence_bert_config={"max_seq_length": 4},
    tokenizer_config={"model_max_length": 9},
    config_sentence_transformers={"default_prompt_name": "query"},
  )
  assert read_pooling(tmp_path, inside=tmp_path, max_length=7) == "mean"
  for said in (
    "Dropout is left out",
    "Normalize is left out: features are not scaled",
    "texts are cut at 4 tokens there, and at 7 here",
    "the prompt 'query' stands before texts there",
  ):
    assert said in caplog.text
  caplog.clear()
  read_pooling(tmp_path, inside=tmp_path, max_length=4)
  assert "texts are cut" not in caplog.text
