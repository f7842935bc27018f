"""What is in a run's folder, told from its metadata: nothing is loaded, and JAX is not needed."""

import dataclasses
import json
import math
import os
import re
import textwrap
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

from ml_collections import ConfigDict

from pretrainjax.checkpoint import note, sealed
from pretrainjax.checkpoint.reference import Reference
from pretrainjax.config.text import read_json
from pretrainjax.errors import UserError, nearest
from pretrainjax.evaluators.results import RESULTS, Row, parse_results
from pretrainjax.untrusted import BadFile, open_file

_ARRAY = re.compile(r"(\w+)\[((?:\d+(?:, )?)*)\]", flags=re.ASCII)
# The rows of results are the newest ones, in the last bytes of their file.
_LAST_BYTES = 1 << 20
_LABEL, _WIDTH = 10, 100
# Arguments that say which class, and how it is made.
_MARKS = ("_target", "_recipe")


@dataclasses.dataclass(frozen=True)
class PartDescription:
  """One network of a run: the attribute of the objective's module that holds it.

  Attributes:
    architecture: the name of its class, "ViT"; "" where no recipe of the config tells.
    config: the recipe that makes it; None where no argument of the objective has its name.
    parameters: the number of trained parameters, those of a frozen or averaged teacher included.
    others: the number of other values, such as batch statistics.
    bytes: the bytes of all of them.
    dtypes: the dtypes of the parameters.
  """

  architecture: str
  config: ConfigDict | None
  parameters: int
  others: int
  bytes: int
  dtypes: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class Description:
  """What is in a run's folder, or in a model's that transformers wrote; printed, it is a page.

  Attributes:
    path: the folder of the run, or of the model.
    step: the step that is described; 0 of a model, which has none.
    steps: all saved steps, newest first.
    damaged: reasons by step, of steps whose metadata is not what was saved.
    config: the resolved config, as it was stored; nothing that it names is looked for.
    objective: the name of the objective's class, "MAE".
    parts: the networks by name.
    ema_decay: the decay of the moving average of parameters; None where the run kept none.
    data: the fingerprints of the prepared datasets by name, see `data/fingerprint.py`.
    numbers: what evaluators measured of this step while the run went on, "knn/top1_k20_t0.07".
    protocols: the arguments of these evaluators, by name.
    results: rows of `evaluate` about this step, each with its protocol.
    made_with: the versions and devices that the step was saved with; of a model its class too.
    source: "run" for a run of ours, "hf" for a model that transformers wrote.
  """

  path: Path
  step: int
  steps: tuple[int, ...]
  damaged: Mapping[int, str]
  config: ConfigDict
  objective: str
  parts: Mapping[str, PartDescription]
  ema_decay: float | None
  data: Mapping[str, Mapping[str, Any]]
  numbers: Mapping[str, float]
  protocols: Mapping[str, ConfigDict]
  results: tuple[Row, ...]
  made_with: str
  source: Literal["run", "hf"] = "run"

  @property
  def parameters(self) -> int:
    """The number of parameters of all parts."""
    return sum(part.parameters for part in self.parts.values())

  def __repr__(self) -> str:
    return "\n".join(_wrapped(label, text) for label, text in _lines(self))


def describe(path: str | Path, *, step: int | None = None) -> Description:
  """Says what is in a run, from its metadata alone: as fast for a terabyte as for a megabyte.

  Args:
    path: the run, "WORKDIR[@STEP][:PART]"; with PART only that one is among `parts`. Or
      "hf:FOLDER[:PART]", a model that transformers wrote, of which config.json and the headers of
      its tensors are read (this imports JAX, and makes no array).
    step: the step; None is the newest whose metadata is intact. Arrays are not looked at.

  Returns:
    Plain fields, which print as a page.

  Raises:
    UserError: for a folder without checkpoints, or a step or part that is not there.
  """
  reference = Reference.parse(path, step=step)
  if reference.source == "ct2":
    raise UserError(f"'{reference}': found a model of CTranslate2, expected a run or hf:FOLDER")
  if reference.source == "hf":
    return _imported(reference)
  found, meta, stored, damaged = _newest(reference)
  workdir, config = reference.folder, read_json(json.dumps(stored))
  folder = workdir / sealed.FOLDER / str(found)
  parts = _named(reference, _parts(meta, config))
  measured = note.read(folder).numbers
  evals = _dict(config, "evals")
  return Description(
    path=workdir,
    step=found,
    steps=tuple(sealed.steps(workdir)),
    damaged=damaged,
    config=config,
    objective=_class_name(_dict(config, "objective")),
    parts=parts,
    ema_decay=_dict(config, "train").get("ema_decay"),
    data=_datasets(meta),
    numbers=measured,
    protocols={name: evals[name] for name in {n.partition("/")[0] for n in measured} & set(evals)},
    results=tuple(row for row in _results(workdir) if row.step == found),
    made_with=_made_with(meta),
  )


def _imported(reference: Reference) -> Description:
  """What a model is that transformers wrote."""
  from pretrainjax.convert.folder import open_model  # slow: it imports JAX and all models

  opened = open_model(reference.folder)
  recipes, parts = opened.config.objective, {}
  for name, (parameters, others) in opened.sizes().items():
    recipe, stored = recipes.get("backbone" if name == "encoder" else name), opened.names_of(name)
    parts[name] = PartDescription(
      architecture=_class_name(recipe),
      config=recipe,
      parameters=parameters,
      others=others,
      bytes=sum(opened.tensors.nbytes(tensor) for tensor in stored),
      dtypes=tuple(sorted({opened.tensors.dtype(tensor) for tensor in stored})),
    )
  version = opened.fields.values.get("transformers_version")
  return Description(
    path=opened.folder,
    step=0,
    steps=(),
    damaged={},
    config=opened.config,
    objective=_class_name(recipes),
    parts=_named(reference, parts),
    ema_decay=None,
    data={},
    numbers={},
    protocols={},
    results=(),
    made_with=f"{opened.kind} of transformers" + (f" {version}" if version else ""),
    source="hf",
  )


def _named(
  reference: Reference, parts: Mapping[str, PartDescription]
) -> Mapping[str, PartDescription]:
  """The part that a reference names, or all of them."""
  part, what = reference.part, reference.noun
  if part is None:
    return parts
  if part not in parts:
    raise UserError(f"'{reference}': the {what} has no part '{part}'{nearest(part, parts)}")
  return {part: parts[part]}


def _newest(reference: Reference) -> tuple[int, dict[str, Any], Any, dict[int, str]]:
  """The step that is described, its metadata and config, and why newer ones are not."""
  workdir, steps, damaged = reference.folder, sealed.steps(reference.folder), {}
  if not (workdir / sealed.FOLDER).is_dir():
    raise UserError(f"{workdir}: no run's folder, {sealed.FOLDER}/ is missing")
  if not steps or reference.step not in (None, *steps):
    wanted = "any checkpoint" if reference.step is None else f"checkpoint {reference.step}"
    raise UserError(f"{workdir}: has not {wanted}; saved: {steps or 'none'}")
  for step in steps if reference.step is None else [reference.step]:
    try:
      meta, config = sealed.read(workdir / sealed.FOLDER / str(step))
    except sealed.Damaged as error:
      damaged[step] = str(error)
      continue
    if isinstance(config, dict) and isinstance(meta.get("arrays"), dict):
      return step, meta, config, damaged
    damaged[step] = "its metadata lists no arrays"
  reasons = "; ".join(f"step {step}: {reason}" for step, reason in damaged.items())
  raise UserError(f"{workdir}: no checkpoint has intact metadata ({reasons})")


def _parts(meta: Mapping[str, Any], config: ConfigDict) -> dict[str, PartDescription]:
  """The networks of a run by the names of its arrays, "params.encoder.norm.scale"."""
  arrays: dict[str, list[tuple[str, str, int, int]]] = {}
  for path, (dtype, count, size) in _arrays(meta["arrays"]):
    group, _, rest = path.partition(".")
    if group in ("params", "extras"):
      arrays.setdefault(rest.partition(".")[0], []).append((group, dtype, count, size))
  objective, parts = _dict(config, "objective"), {}
  for name, rows in sorted(arrays.items(), key=lambda item: (item[0] != "encoder", item[0])):
    recipe = objective.get(name, objective.get("backbone") if name == "encoder" else None)
    recipe = recipe if isinstance(recipe, ConfigDict) else None
    trained = [row for row in rows if row[0] == "params"]
    parts[name] = PartDescription(
      architecture=_class_name(recipe or {}),
      config=recipe,
      parameters=sum(count for _, _, count, _ in trained),
      others=sum(count for _, _, count, _ in rows) - sum(count for _, _, count, _ in trained),
      bytes=sum(size for _, _, _, size in rows),
      dtypes=tuple(sorted({dtype for _, dtype, _, _ in trained or rows})),
    )
  return parts


def _arrays(listed: Mapping[str, Any]) -> Iterator[tuple[str, tuple[str, int, int]]]:
  """The dtype, number of values and bytes of each array; what is none, as told, has no values."""
  for path, text in listed.items():
    found = _ARRAY.fullmatch(str(text))
    if found is not None:
      dtype, sizes = found.groups()
      count = math.prod(int(size) for size in sizes.split(", ") if size)
      bits = re.search(r"\d+", dtype)  # "bfloat16"; "bool" has none, and takes a byte
      yield path, (dtype, count, count * max(int(bits[0]) // 8 if bits else 1, 1))


def _datasets(meta: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
  made_with = meta.get("made_with")
  data = made_with.get("data") if isinstance(made_with, Mapping) else None
  listed = data if isinstance(data, Mapping) else {}
  return {name: found for name, found in listed.items() if isinstance(found, Mapping)}


def _made_with(meta: Mapping[str, Any]) -> str:
  made_with = meta.get("made_with")
  code = made_with.get("code") if isinstance(made_with, Mapping) else None
  version = code.get("version") if isinstance(code, Mapping) else None
  ours = f"pretrainjax {version}" if version else "a pretrainjax that does not say its version"
  return f"{ours}, jax {meta.get('jax', 'of unknown version')}, on {meta.get('layout', '?')}"


def _results(workdir: Path) -> list[Row]:
  """The newest rows of `evaluate` about the trained encoder."""
  path = workdir / "evaluation" / RESULTS
  if not os.path.lexists(path):
    return []
  try:
    with open_file(path, inside=workdir) as file:
      start = max(file.seek(0, os.SEEK_END) - _LAST_BYTES, 0)
      file.seek(start)
      lines = file.read(_LAST_BYTES).splitlines(keepends=True)
  except (OSError, BadFile):
    return []
  rows = parse_results(lines[start > 0 :], path)
  return [row for row in rows if row.encoder == "trained"]


def _lines(found: Description) -> Iterator[tuple[str, str]]:
  """The page, as labels and texts."""
  others = [str(step) for step in found.steps if step != found.step]
  at = f", step {found.step}" + (f"; saved too: {', '.join(others)}" if others else "")
  yield ("run", f"{found.path}{at}") if found.source == "run" else ("model", f"hf:{found.path}")
  for step, reason in found.damaged.items():
    yield "damaged", f"step {step}: {reason}"
  if found.source == "run":
    yield "objective", _arguments(found.objective, _dict(found.config, "objective"))
  for name, part in found.parts.items():
    sizes = [f"{part.parameters:,} parameters"] * bool(part.parameters)
    sizes += [f"{part.others:,} other values"] * bool(part.others)
    size = f"{' and '.join(sizes)}, {_size(part.bytes)} of {' and '.join(part.dtypes)}"
    made = _arguments(part.architecture, part.config or {})
    yield name, f"{size}; {made}" if made else size
  if found.ema_decay is not None:
    yield "average", f"of the parameters, decay {found.ema_decay}: this is what is loaded"
  if _dict(found.config, "lora").get("rank"):
    yield "lora", f"{_arguments('', found.config.lora)}; merged into the layers when loaded"
  for name in ("optimizer", "data") if found.source == "run" else ():
    yield name, _arguments("", _dict(found.config, name))
  for name, fingerprint in found.data.items():
    examples = fingerprint.get("examples")
    counts = examples.items() if isinstance(examples, Mapping) else ()
    digest = fingerprint.get("records") or fingerprint.get("files")
    yield "", f"{name}: {' + '.join(f'{count} {split}' for split, count in counts)}, {digest}"
  for name, value in found.numbers.items():
    yield "measured", f"{name} {value:.6g}"
  for row in found.results:
    protocol = ", ".join(f"{key}={value}" for key, value in row.protocol.items())
    yield "evaluated", f"{row.evaluator}/{row.metric} {row.value:.6g} ({protocol})"
  yield "made with", found.made_with


def _size(count: int) -> str:
  """A number of bytes: "412 bytes", "7.1 kB", "343 MB", "88.2 GB"."""
  for unit, scale in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
    if count >= scale:
      return f"{count / scale:.3g} {unit}"
  return f"{count} bytes"


def _wrapped(label: str, text: str) -> str:
  start = f"{label.ljust(_LABEL)} "
  unbroken = {"break_long_words": False, "break_on_hyphens": False}
  indent = " " * (_LABEL + 1)
  return textwrap.fill(text, _WIDTH, initial_indent=start, subsequent_indent=indent, **unbroken)


def _arguments(name: str, config: Any) -> str:
  """A class and those of its arguments that are set and are no things of their own."""
  values = {key: config[key] for key in config if key not in _MARKS}
  said = [f"{k}={v}" for k, v in values.items() if v is not None and not _is_thing(v)]
  return f"{name}: {', '.join(said)}" if name and said else name or ", ".join(said)


def _is_thing(value: Any) -> bool:
  return isinstance(value, (Mapping, ConfigDict))


def _dict(config: ConfigDict, key: str) -> ConfigDict:
  """A part of a stored config, which may be anything; an empty one where it is none."""
  value = config.get(key)
  return value if isinstance(value, ConfigDict) else ConfigDict()


def _class_name(config: Any) -> str:
  return str(config.get("_target") or "").rpartition(":")[2]
