"""Parameters that cannot fit are refused, and nothing that could."""

import jax
import pytest
from toy_runs import Batches, make

from pretrainjax.errors import UserError
from pretrainjax.train.parallel import Parallel
from pretrainjax.train.room import check_room, group_limits


@pytest.mark.parametrize("mode", ["jit", "pmap"])
def test_parameters_that_do_not_fit_are_refused_and_no_others(mode):
  run = make(Batches(), steps=1, parallel=Parallel(mode=mode))
  shapes = jax.tree.leaves(run.abstract_state.params)
  size = jax.local_device_count() * sum(leaf.size * leaf.dtype.itemsize for leaf in shapes)
  check_room(run, memory=size)
  with pytest.raises(UserError, match="config.objective: the parameters need 0.0 GiB of memory"):
    check_room(run, memory=size - 1)
  check_room(run)


@pytest.mark.parametrize(
  ("groups", "files", "limits"),
  [
    ("0::/a/b\n", {"a/memory.max": "500\n", "a/b/memory.max": "max\n"}, [500]),
    ("0::/\n", {"memory.max": "7"}, [7]),
    ("4:memory:/x\n1:cpu:/y\n", {"memory/x/memory.limit_in_bytes": "9", "y/memory.max": "1"}, [9]),
    ("4:memory:/x\n", {"memory/x/memory.limit_in_bytes": "9223372036854771712"}, []),
    ("0::/host/path\n", {"memory.max": "8"}, [8]),
    ("", {}, []),
  ],
)
def test_the_limits_of_groups(groups, files, limits, tmp_path):
  for name, content in files.items():
    (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / name).write_text(content)
  assert list(group_limits(groups, root=tmp_path)) == limits
