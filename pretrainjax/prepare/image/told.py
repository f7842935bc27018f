"""What a person is told of images beside their number: what was done to them, what is missing."""

from collections.abc import Iterator, Mapping
from typing import Any

from pretrainjax.prepare.contract import Corpus
from pretrainjax.prepare.image.check import FEW_LEVELS
from pretrainjax.prepare.image.table import ImageTable
from pretrainjax.prepare.stages.example_table import HeldOut

_SHOWN = 5
_MOST = 100  # classes that are named in the report
# Of these nothing was expected.
_NOT_MEANT = ("no image by its name", "hidden file", "left out by split_names", "same pixels")
_A_FOLDER = ("linked folder", "folder that")


def facts(table: ImageTable, corpus: Corpus, *, held_out: HeldOut) -> dict[str, Any]:
  """Facts for prepared.json; only those that there are.

  Args:
    table: of all images.
    corpus: where they come from.
    held_out: of what a share was held out.
  """
  remarks = {
    what: {"images": count, "highest": number, "first": table.remarked_first(what, _SHOWN)}
    for what, count, number in table.remarks()
  }
  found = {"remarks": remarks, "lost": _lost(table, corpus)}
  num_shrunk, before, after = table.shrunk()
  if num_shrunk:
    found["shrunk"] = {"images": num_shrunk, "bytes_before": before, "bytes_after": after}
  if corpus.holdout is not None and held_out != "own splits":
    found["held_out"] = _of_share(table, corpus.holdout.fraction, held_out)
  return {key: value for key, value in found.items() if value}


def lines(report: Mapping[str, Any]) -> Iterator[str]:
  """The facts of a report as lines."""
  if "folders_in_classes" in report:
    shown = ", ".join(report["folders_in_classes"])
    yield (
      f"inside         {report['num_folders_in_classes']:,} folders lie in folders of classes, "
      f"which are those of level {report['class_level']}: {shown}; "
      "--config.source.class_level=N takes others"
    )
  yield from map(_of_holdout, filter(None, [report.get("held_out")]))
  for name, reason in report.get("lost", {}).items():
    hint = "; --config.source.follow_links=true follows it" if reason.startswith("link") else ""
    yield f"lost           {name}: {reason}{hint}"
  if "shrunk" in report:
    shrunk = report["shrunk"]
    saved = (shrunk["bytes_before"] - shrunk["bytes_after"]) / 1e6
    yield (
      f"shrunk         {shrunk['images']:,} images, {shrunk['bytes_before'] / 1e6:,.1f} MB to "
      f"{shrunk['bytes_after'] / 1e6:,.1f} MB: {saved:,.1f} MB saved"
    )
  for what, remark in report.get("remarks", {}).items():
    keys = ", ".join(remark["first"])
    yield f"remarked       {remark['images']:,} {what}: {keys}{_hint(what, remark)}"


def _hint(what: str, remark: Mapping[str, Any]) -> str:
  if what != FEW_LEVELS:
    return ""
  highest = max(int(remark["highest"]), 1)
  top = (1 << highest.bit_length()) - 1
  return (
    f"; the highest value is {highest:,}: --config.source.pixels.value_range=0,{top} would make "
    "that white"
  )


def _lost(table: ImageTable, corpus: Corpus) -> dict[str, str]:
  """Splits and classes of which nothing is left, and why."""
  if corpus.place_of is None:
    return {}
  splits, classes = set(table.sizes()), set(table.class_names())
  lost: dict[str, str] = {}
  for key, reason in table.dropped():
    if reason.startswith(_NOT_MEANT) or len(lost) >= _MOST:
      continue
    split, label = corpus.place_of(f"{key}/x" if reason.startswith(_A_FOLDER) else key)
    if split and split not in splits:
      lost.setdefault(f"split {split}", reason)
    elif label is not None and label not in classes:
      lost.setdefault(f"class {label}", reason)
  return lost


def _of_share(table: ImageTable, fraction: float, held_out: HeldOut) -> dict[str, Any]:
  """What became of the hold-out, where it is not a share of each class."""
  sizes, without = table.sizes(), table.classes_without("test")
  if held_out == "each class" and not without:
    return {}
  return {
    "fraction": fraction,
    "share_of": held_out,
    "images": sum(count for count, _ in sizes.values()),
    "num_classes_without": len(without),
    "classes_without": without[:_SHOWN],
  }


def _of_holdout(held_out: Mapping[str, Any]) -> str:
  share = f"--config.source.test_fraction={held_out['fraction']:g}"
  if held_out["share_of"] == "nothing":
    return f"held out       nothing: {share} of {held_out['images']:,} images rounds to none"
  told = f"held out       {share} of {held_out['share_of']}"
  if held_out["share_of"] == "all images":
    told += ", since it rounds to none of any class"
  if not held_out["num_classes_without"]:
    return told
  names = ", ".join(held_out["classes_without"])
  return f"{told}: no image of {held_out['num_classes_without']:,} classes, such as {names}"
