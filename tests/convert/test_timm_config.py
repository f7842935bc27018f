import pytest

from pretrainjax.convert import timm_config
from pretrainjax.convert.fields import Fields
from pretrainjax.errors import UserError

EXPECTED = {"depth": (), "width": (), "gated": (False,)}


def fields(**changes):
  return Fields({"architecture": "net", "num_classes": 3} | changes)


def test_arguments_are_the_architectures_but_for_those_that_differ():
  own = {"depth": 12, "width": 3}
  images = {"input_size": [1, 8, 6]}
  given = fields(model_args={"width": 5}, pretrained_cfg=images)
  found = timm_config.arguments_of(given, own, EXPECTED)
  expected = {"depth": 12, "width": 5, "in_chans": 1, "img_size": [8, 6], "num_classes": 3}
  assert found.values == expected
  assert timm_config.arguments_of(fields(), own, EXPECTED).values["img_size"] == [224, 224]


@pytest.mark.parametrize(
  "changes, said",
  [
    ({"model_args": {"height": 3}}, "model_args: height: found 3, expected nothing"),
    ({"model_args": {"gated": True}}, "model_args: gated: found True, expected False"),
    ({"model_args": [1]}, "model_args: found .*, expected a dictionary"),
    ({"pretrained_cfg": {"input_size": [3, 8]}}, "input_size: found .*, expected three numbers"),
  ],
)
def test_what_ours_cannot_follow_is_refused(changes, said):
  with pytest.raises(UserError, match=said):
    timm_config.arguments_of(fields(**changes), {}, EXPECTED)


def test_scaling_of_images():
  given = fields(pretrained_cfg={"mean": [0.5], "std": [0.25]})
  assert timm_config.read_statistics(given, 1) == {"image_mean": (0.5,), "image_std": (0.25,)}
  assert timm_config.read_statistics(fields(), 3)["image_mean"] == (0.485, 0.456, 0.406)
  for broken in ({"std": [0]}, {"mean": [0.5, 0.5]}, {"mean": "x"}):
    with pytest.raises(UserError, match="expected 1 numbers, one a channel"):
      timm_config.read_statistics(fields(pretrained_cfg=broken), 1)


def test_no_classes_make_no_head():
  assert timm_config.read_head(Fields({"num_classes": 0}), 5) == {}
  head = timm_config.read_head(Fields({"num_classes": 4, "drop_rate": 0.25}), 5)["head"]
  assert (head.in_dim, head.num_classes, head.dropout) == (5, 4, 0.25)
