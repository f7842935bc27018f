"""Groups of devices in all forms that XLA writes."""

import pytest

from pretrainjax.benchmark.device_groups import first_group, furthest_pair


@pytest.mark.parametrize(
  ("text", "group"),
  [
    ("replica_groups={{0,1,2,3},{4,5,6,7}}", (0, 1, 2, 3)),
    ("replica_groups={}", tuple(range(8))),
    ("replica_groups=[2,4]<=[8]", (0, 1, 2, 3)),
    ("replica_groups=[4,2]<=[2,4]T(1,0)", (0, 4)),
    ("replica_groups=[4,2]<=[2,2,2]T(2,1,0)", (0, 4)),
    ("replica_groups=[8,1]<=[8]", (0,)),
    ("replica_groups=mesh['axis_0'=8,'axis_1'=1] {'axis_0'}", tuple(range(8))),
    ("replica_groups=mesh['data'=2,'fsdp'=4] {'fsdp'}", (0, 1, 2, 3)),
    ("replica_groups=mesh['data'=2,'fsdp'=4] {'data'}", (0, 4)),
    ("replica_groups=mesh['a'=4,'b'=2], device_ids=([2,4]T(1,0)) {'a'}", (0, 1, 2, 3)),
    ("replica_groups=mesh['a'=2,'b'=2], device_ids=(3,1,0,2) {'b'}", (3, 1)),
    ("replica_groups=mesh['a'=8] {'a':(2)2}", (0, 2)),
    ("replica_groups=@mesh<a=2,b=4> {a}", (0, 4)),
    ("replica_groups=mesh['a'=8] {'c'}", None),
    ("channel_id=1", None),
  ],
)
def test_first_group(text, group):
  assert first_group(f"channel_id=1, {text}, use_global_device_ids=true", 8) == group


def test_pairs():
  assert furthest_pair("source_target_pairs={{0,1},{1,2},{2,3},{3,0}}") == (3, 0)
  assert furthest_pair("source_target_pairs={{0,0},{1,1}}") == (0,)
