"""What is said of remarks, of what is lost and of what was held out."""

from pretrainjax.prepare.image.check import FEW_LEVELS
from pretrainjax.prepare.image.told import lines


def test_nothing_is_said_where_there_is_nothing():
  assert list(lines({})) == []


def test_few_levels_come_with_the_range_that_would_show_them():
  for highest, top in ((4095, 4095), (1000, 1023), (0, 1), (65_535, 65_535)):
    remark = {"images": 2, "highest": float(highest), "first": ["a.png", "b.png"]}
    (line,) = lines({"remarks": {FEW_LEVELS: remark}})
    assert f"a.png, b.png; the highest value is {max(highest, 1):,}: " in line
    assert f"value_range=0,{top} would" in line


def test_lost_classes_and_shrunk_images():
  lost = {"class dog": "linked folder", "class cat": "not decodable"}
  shrunk = {"images": 1124, "bytes_before": 395_100_000, "bytes_after": 18_000_000}
  found = list(lines({"lost": lost, "shrunk": shrunk}))
  assert found[0].endswith("class dog: linked folder; --config.source.follow_links=true follows it")
  assert found[1].endswith("class cat: not decodable")
  assert found[2].endswith("1,124 images, 395.1 MB to 18.0 MB: 377.1 MB saved")
