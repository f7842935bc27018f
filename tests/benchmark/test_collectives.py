"""Exchanges of programs that are known: counts, bytes, groups, rounds of loops."""

import json
from pathlib import Path

import pytest
import simulated

from pretrainjax.benchmark.collectives import by_group, by_kind, read_collectives, wire_bytes

SIZE = 64 * 16 * 4  # bytes of a device's part in exchanges.py
ALONG_A, ALONG_B, ALL = [0, 2, 4, 6], [0, 1], list(range(8))


@pytest.fixture(scope="module")
def found():
  """(kind, bytes, group, times, bytes sent) of each exchange, by program."""
  out = simulated.run_on_devices(Path(__file__).parent / "exchanges.py")
  return json.loads(out.splitlines()[-1])


def test_every_exchange_is_counted_in_its_loops(found):
  assert sorted(found["step"]) == sorted(
    [
      ["all-reduce", SIZE, ALONG_A, 5, 5 * 1.5 * SIZE],
      ["all-gather", 2 * SIZE, ALONG_B, 5, 5 * 0.5 * 2 * SIZE],
      ["reduce-scatter", 2 * SIZE, ALONG_B, 5, 5 * 0.5 * 2 * SIZE],
      ["collective-permute", SIZE, [6, 0], 5, 5 * SIZE],
      ["all-to-all", SIZE, ALONG_A, 5, 5 * 0.75 * SIZE],
      ["all-reduce", SIZE, ALL, 3 * 7, 21 * 1.75 * SIZE],
      # bfloat16, which a CPU adds up as float32
      ["all-reduce", 66, ALONG_B, 1, 66.0],
    ]
  )


def test_rounds_are_found_in_the_condition_too(found):
  assert found["unnoted"] == found["step"]


def test_a_sum_of_which_each_device_takes_its_part_is_a_reduce_scatter(found):
  size = 64 * 32 * 4
  assert found["parts"] == [["reduce-scatter", size, ALL, 1, 7 / 8 * size]]
  assert found["whole"] == [["all-reduce", size, ALL, 1, 14 / 8 * size]]


PROGRAM = """HloModule m, num_partitions=4

%add (a: f32[], b: f32[]) -> f32[] {{
  %a = f32[] parameter(0)
  %b = f32[] parameter(1)
  ROOT %sum = f32[] add(%a, %b)
}}

%small (p: f32[8]) -> f32[8] {{
  %p = f32[8]{{0}} parameter(0)
  ROOT %r = f32[8]{{0}} all-reduce(%p), replica_groups={{{{0,1}},{{2,3}}}}, to_apply=%add
}}

%large (q: f32[8]) -> f32[8] {{
  %q = f32[8]{{0}} parameter(0)
  ROOT %s = f32[8]{{0}} all-reduce(%q), replica_groups={{}}, to_apply=%add
}}

%wait (w: (s32[], f32[8])) -> pred[] {{
  %w = (s32[], f32[8]{{0}}) parameter(0)
  ROOT %t = pred[] custom-call(%w), custom_call_target="nobody_knows"
}}

%round (v: (s32[], f32[8])) -> (s32[], f32[8]) {{
  %v = (s32[], f32[8]{{0}}) parameter(0)
  %i = s32[] get-tuple-element(%v), index=0
  %y = f32[8]{{0}} get-tuple-element(%v), index=1
  %z = f32[8]{{0}} {inside}
  ROOT %u = (s32[], f32[8]{{0}}) tuple(%i, %z)
}}

ENTRY %main (x: f32[8], c: pred[]) -> f32[8] {{
  %x = f32[8]{{0}} parameter(0)
  %c = pred[] parameter(1)
{body}
}}
"""


def read(body, inside="negate(%y)"):
  return read_collectives(PROGRAM.format(body=body, inside=inside))


def test_asynchronous_exchanges_count_once():
  found = read(
    "  %g = (f32[8]{0}, f32[32]{0}) all-gather-start(%x), replica_groups=[1,4]<=[4]\n"
    "  ROOT %h = f32[32]{0} all-gather-done(%g)"
  )
  assert [(c.kind, c.array_bytes, c.group, c.times) for c in found] == [
    ("all-gather", 4 * 32, (0, 1, 2, 3), 1)
  ]


def test_of_branches_the_dearest_counts():
  found = read(
    "  ROOT %o = f32[8]{0} conditional(%c, %x, %x), true_computation=%small, "
    "false_computation=%large"
  )
  assert [c.group_size for c in found] == [4]


LOOP = (
  "  %n = s32[] constant(0)\n"
  "  %k = (s32[], f32[8]{0}) tuple(%n, %x)\n"
  "  %l = (s32[], f32[8]{0}) while(%k), condition=%wait, body=%round\n"
  "  ROOT %o = f32[8]{0} get-tuple-element(%l), index=1"
)


def test_a_loop_of_unknown_length_is_refused_where_it_exchanges():
  assert read(LOOP) == []
  with pytest.raises(ValueError, match="loop l has exchanges, and no known number of rounds"):
    read(LOOP, "all-reduce(%y), replica_groups={}, to_apply=%add")


def test_unknown_groups_are_refused():
  with pytest.raises(ValueError, match="o: no replica_groups of a known form"):
    read("  ROOT %o = f32[8]{0} all-reduce(%x), replica_groups=everyone, to_apply=%add")


def test_totals():
  body = "\n".join(
    f"  {root}%o{i} = f32[8]{{0}} all-reduce(%x), replica_groups={group}, to_apply=%add"
    for i, (root, group) in enumerate([("", "{}"), ("", "{{0,1},{2,3}}"), ("ROOT ", "{}")])
  )
  found = read(body)
  assert wire_bytes(found) == 2 * 1.5 * 32 + 32
  assert by_kind(found) == {"all-reduce": {"count": 3, "array_bytes": 96, "wire_bytes": 128}}
  assert by_group(found) == [
    {"kind": "all-reduce", "group": [0, 1], "count": 1, "array_bytes": 32, "wire_bytes": 32},
    {"kind": "all-reduce", "group": [0, 1, 2, 3], "count": 2, "array_bytes": 64, "wire_bytes": 96},
  ]
