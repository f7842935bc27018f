import pytest

from pretrainjax.config.objects import recipe
from pretrainjax.convert.classes import class_names, is_linear, read_classifier, write_classes
from pretrainjax.convert.fields import Fields
from pretrainjax.errors import UserError
from pretrainjax.models.heads import Head, Pooler


def test_there_and_back():
  head = read_classifier(Fields(write_classes(3)), 5, dropout=0.25)
  assert head == recipe(Head, in_dim=5, num_classes=3, dropout=0.25)
  assert write_classes(2)["label2id"] == {"LABEL_0": 0, "LABEL_1": 1}
  assert read_classifier(Fields({}), 5).num_classes == 2  # as transformers has it


def test_names_are_in_the_order_of_their_numbers():
  assert class_names(Fields({"id2label": {"1": "dog", "0": "cat"}})) == ("cat", "dog")
  assert class_names(Fields({"label_names": ["cat", "dog"]})) == ("cat", "dog")
  for fields in ({}, {"id2label": {"1": "dog"}}, {"id2label": {"0": 1}}, {"label_names": "cat"}):
    assert class_names(Fields(fields)) == ()


@pytest.mark.parametrize("labels", [{}, ["cat"], "cat"])
def test_what_is_no_dictionary_of_classes_is_refused(labels):
  with pytest.raises(UserError, match="id2label: found .*, expected a dictionary of the classes"):
    read_classifier(Fields({"id2label": labels}), 5)


def test_a_classifier_is_linear_or_not():
  sizes = {"in_dim": 5, "num_classes": 3}
  assert is_linear(recipe(Head, **sizes))
  for other in (recipe(Head, **sizes, hidden_dim=4), recipe(Pooler, embed_dim=5), None):
    assert not is_linear(other)
