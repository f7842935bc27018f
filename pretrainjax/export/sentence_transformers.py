"""What sentence-transformers reads beside the files of transformers: modules, pooling, lengths."""

import json
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict

from pretrainjax.errors import UserError

_MODES = {
  "cls": "pooling_mode_cls_token",
  "mean": "pooling_mode_mean_tokens",
  "last": "pooling_mode_lasttoken",
}
_OTHER_MODES = ("max_tokens", "mean_sqrt_len_tokens", "weightedmean_tokens")
_WITH_POOLER = ("BertModel", "RobertaModel")
_VERSION = "3.0.0"  # whose layout this is; later ones read it


def write_sentence_transformers(folder: Path, backbone: ConfigDict, *, kind: str) -> None:
  """Adds the files to a folder that transformers loads, so that features are our `pooled`.

  Args:
    folder: the folder that was exported.
    backbone: the recipe of an encoder of texts.
    kind: the class of transformers that the encoder was written as.

  Raises:
    UserError: for an encoder of something else.
  """
  if "vocab_size" not in backbone:
    raise UserError("--form: found sentence-transformers, which is for encoders of texts")
  if backbone.pool not in _MODES or backbone.get("fill_id") is not None:
    raise UserError("--form: found sentence-transformers, which does not pool as this encoder does")
  names = ("Transformer", "Pooling")
  modules = [
    {"idx": i, "name": str(i), "path": f"{i}_{name}" if i else "", "type": _type(name)}
    for i, name in enumerate(names)
  ]
  pooling: dict[str, Any] = {"word_embedding_dimension": backbone.embed_dim}
  pooling |= {f"pooling_mode_{mode}": False for mode in _OTHER_MODES}
  pooling |= {key: pool == backbone.pool for pool, key in _MODES.items()}
  facts: dict[str, Any] = {"max_seq_length": backbone.max_length, "do_lower_case": False}
  if kind in _WITH_POOLER:  # which would be random, as ours pool without
    facts["model_args"] = {"add_pooling_layer": False}
  (folder / "1_Pooling").mkdir()
  for name, content in (
    ("modules.json", modules),
    ("1_Pooling/config.json", pooling | {"include_prompt": True}),
    ("sentence_bert_config.json", facts),
    (
      "config_sentence_transformers.json",
      {
        "__version__": {"sentence_transformers": _VERSION},
        "prompts": {},
        "default_prompt_name": None,
        "similarity_fn_name": "cosine",
      },
    ),
  ):
    (folder / name).write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def _type(name: str) -> str:
  return f"sentence_transformers.models.{name}"
