import pytest

from pretrainjax.errors import UserError
from pretrainjax.train.mesh import NAMES, Axes


def test_data_takes_what_is_left():
  assert Axes(fsdp=2, tensor=2).sizes(8) == {"data": 2, "fsdp": 2, "tensor": 2, "context": 1}
  assert Axes(data=8).sizes(8)["data"] == 8


@pytest.mark.parametrize(
  ("axes", "message"),
  [
    (Axes(data=3), r"data=3 x fsdp=1 x tensor=1 x context=1 does not make 8 devices.*expected 8"),
    (Axes(fsdp=3), r"data=\? x fsdp=3 .* does not make 8 devices.*is 3, expected a divisor"),
    (Axes(fsdp=4, tensor=4), "is 16, expected a divisor, such as 8"),
  ],
)
def test_impossible_meshes_are_refused_with_the_arithmetic(axes, message):
  with pytest.raises(UserError, match=message):
    axes.sizes(8)


@pytest.mark.parametrize("name", NAMES)
def test_sizes_are_positive(name):
  with pytest.raises(ValueError, match=f"{name}=0"):
    Axes(**{name: 0})


def test_the_mesh_has_every_axis_and_plain_modules_work_on_it():
  mesh = Axes().build()
  assert mesh.axis_names == NAMES and mesh.size == 1
  assert {kind.name for kind in mesh.axis_types} == {"Auto"}
