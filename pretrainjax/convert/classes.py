"""Classifiers of config.json: which classes there are, and the network that scores them."""

from typing import Any

from ml_collections import ConfigDict

from pretrainjax.config.objects import recipe
from pretrainjax.convert.family import makes
from pretrainjax.convert.fields import Fields
from pretrainjax.models.heads import Head


def read_classifier(fields: Fields, in_dim: int, **arguments: Any) -> ConfigDict:
  """The recipe of a classifier whose classes `id2label` lists.

  Args:
    fields: the values of the config.json.
    in_dim: width of the features.
    **arguments: further ones of `Head`.
  """
  labels = fields.get("id2label", {"0": "LABEL_0", "1": "LABEL_1"})
  if not isinstance(labels, dict) or not 0 < len(labels) < 1 << 20:
    raise fields.refused("id2label", "a dictionary of the classes")
  return recipe(Head, in_dim=in_dim, num_classes=len(labels), **arguments)


def class_names(fields: Fields) -> tuple[str, ...]:
  """The names of all classes: of `id2label`, or timm's `label_names`; () where one has none.

  Args:
    fields: the values of the config.json.
  """
  labels = fields.get("id2label", None)
  if isinstance(labels, dict):
    found = [labels.get(str(i)) for i in range(len(labels))]
  else:
    labels = fields.get("label_names", None)
    found = labels if isinstance(labels, list) else []
  return tuple(found) if all(isinstance(name, str) for name in found) else ()


def write_classes(num_classes: int) -> dict[str, Any]:
  """What config.json says of so many classes."""
  names = {str(i): f"LABEL_{i}" for i in range(num_classes)}
  return {"id2label": names, "label2id": {name: int(i) for i, name in names.items()}}


def is_linear(head: ConfigDict | None) -> bool:
  """Whether a recipe makes a classifier of one linear layer."""
  return makes(head, Head) and head.hidden_dim is None and not head.batch_norm
