"""The model card of an export: what was trained, on what, how well, and how to load it."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict

from pretrainjax.checkpoint.encoder import Loaded
from pretrainjax.checkpoint.reference import Reference
from pretrainjax.config.allowed import TARGET
from pretrainjax.config.text import to_json
from pretrainjax.data.prepared import dataset_names
from pretrainjax.evaluators.results import RESULTS
from pretrainjax.export.write import Written
from pretrainjax.report.table import markdown_table
from pretrainjax.untrusted import BadFile, parse_json, read_lines

_MOST_ROWS = 50
# What a model is for, in the words of their hub, by what it reads.
_TAGS = {
  ("images",): "image-feature-extraction",
  ("texts",): "feature-extraction",
  ("sound",): "feature-extraction",
  ("images", "texts"): "zero-shot-image-classification",
}


def card(
  loaded: Loaded,
  written: Written,
  *,
  license_name: str,
  reference: Reference,
  library: str,
  uses: Mapping[str, str],
) -> str:
  """The text of README.md.

  Args:
    loaded: the run that was exported.
    written: what was written of it.
    license_name: the licence of the weights, "" where the user named none.
    reference: the reference that the user typed.
    library: the library that loads it.
    uses: Python code that loads it, by what it needs.
  """
  config = loaded.config
  objective = str(config.objective.get(TARGET)).rpartition(":")[2]
  shown = [f"With {name}:\n\n```python\n{code}\n```" for name, code in uses.items()]
  left = f"\nNot part of it: {', '.join(written.left)}." if written.left else ""
  sections = [
    _front(library, reads=written.reads, license_name=license_name),
    f"# {reference.folder.name}\n\n{written.kind} with {written.num_parameters:,} parameters "
    f"({', '.join(written.held)}), written by pretrainjax's `export`.{left}",
    f"## Training\n\nObjective: {objective}; step {loaded.step}.\n{_data(config)}",
    _metrics(loaded),
    "\n\n".join(["## Use", *shown]),
    f"## Config\n\n```json\n{json.dumps(json.loads(to_json(config)), indent=1)}\n```",
  ]
  return "\n\n".join(section for section in sections if section) + "\n"


def uses_of(written: Written, backbone: ConfigDict | None) -> dict[str, str]:
  """Python code that loads a folder of another library: with that library, and with ours.

  Args:
    written: what was written.
    backbone: the recipe of the encoder of images or texts, or of one of them; None of sounds.
  """
  library = written.library
  has_timm = library == "timm" and backbone is not None
  return {
    library: _with_timm(backbone) if has_timm else _theirs(written.kind, written.reads),
    "pretrainjax": _ours(written.kind, written.reads),
  }


def _front(library: str, *, reads: tuple[str, ...], license_name: str) -> str:
  tag = _TAGS[reads]
  named = license_name or "unknown"
  return f"---\nlibrary_name: {library}\nlicense: {named}\npipeline_tag: {tag}\n---"


def _data(config: ConfigDict) -> str:
  data: Any = config.get("data")
  if not isinstance(data, ConfigDict) or "datasets" not in data:
    return "Data: not known to the export."
  named = data.datasets
  names = ", ".join(dataset_names(named if isinstance(named, str) else named.to_dict()))
  return f"Data: {names}, split {data.get('split', 'train')}."


def _metrics(loaded: Loaded) -> str:
  """The rows that `evaluate` stored of this step, each number with its protocol."""
  path = None if loaded.workdir is None else loaded.workdir / "evaluation" / RESULTS
  if loaded.source != "run" or path is None or not path.is_file():
    return ""
  rows = [row for row in _rows(path) if row.get("step") == loaded.step]
  names = ("evaluator", "metric", "value", "encoder", "protocol")
  shown = [tuple(_cell(row.get(name)) for name in names) for row in rows[-_MOST_ROWS:]]
  return f"## Metrics\n\n{markdown_table(names, shown)}" if shown else ""


def _rows(path: Path) -> list[Mapping[str, Any]]:
  try:
    found = [parse_json(line) for line in read_lines(path)]
  except (BadFile, ValueError):
    return []
  return [row for row in found if isinstance(row, dict)]


def _cell(value: Any) -> str:
  if isinstance(value, dict):
    return ", ".join(f"{key}={_cell(one)}" for key, one in value.items())
  return f"{value:.4g}" if isinstance(value, float) else " ".join(str(value).split())


def _theirs(kind: str, reads: tuple[str, ...]) -> str:
  if "sound" in reads:
    call = "model.generate" if kind.endswith("ForConditionalGeneration") else "model"
    return (
      f"from transformers import AutoFeatureExtractor, {kind}\n"
      'extractor = AutoFeatureExtractor.from_pretrained("FOLDER")\n'
      f'model = {kind}.from_pretrained("FOLDER")\n'
      'batch = extractor(audio, sampling_rate=16000, return_tensors="pt")\n'
      f"output = {call}(**batch)"
    )
  imported, made, batch = [], [], []
  if "texts" in reads:
    # SigLIP was trained on rows of one length, without a mask.
    padding = ', padding="max_length"' if kind.startswith("Siglip") else ""
    imported.append("AutoTokenizer")
    made.append('tokenizer = AutoTokenizer.from_pretrained("FOLDER")')
    batch.append(f'tokenizer(["a text"]{padding}, return_tensors="pt")')
  if "images" in reads:
    imported.append("AutoImageProcessor")
    made.append('processor = AutoImageProcessor.from_pretrained("FOLDER")')
    batch.append('processor(images, return_tensors="pt")')
  lines = [
    f"from transformers import {', '.join([*imported, kind])}",
    *made,
    f'model = {kind}.from_pretrained("FOLDER")',
    f"batch = {' | '.join(f'dict({one})' for one in batch) if len(batch) > 1 else batch[0]}",
    "output = model(**batch)",
  ]
  return "\n".join(lines)


def _with_timm(backbone: ConfigDict) -> str:
  if backbone.get("stem") != "cifar":
    return (
      "import timm\n"
      'model = timm.create_model("local-dir:FOLDER", pretrained=True).eval()\n'
      "settings = timm.data.resolve_model_data_config(model)\n"
      "transform = timm.data.create_transform(**settings)\n"
      "output = model(transform(image)[None])"
    )
  return (
    "import json, safetensors.torch, timm, torch\n"
    'config = json.load(open("FOLDER/config.json"))\n'
    'options = config["model_args"] | {"num_classes": config["num_classes"]}\n'
    'model = timm.create_model(config["architecture"], **options)\n'
    "# timm has no stem for small images: a 3x3 convolution, and no pooling.\n"
    'model.conv1 = torch.nn.Conv2d(options["in_chans"], 64, 3, padding=1, bias=False)\n'
    "model.maxpool = torch.nn.Identity()\n"
    'model.load_state_dict(safetensors.torch.load_file("FOLDER/model.safetensors"))'
  )


def _ours(kind: str, reads: tuple[str, ...]) -> str:
  if kind.endswith(("LMHeadModel", "ForCausalLM")):
    return (
      "import pretrainjax as pj\n"
      'model = pj.load_model("hf:FOLDER")\n'
      'print(model.generate("a text", max_new_tokens=20)[0].text)'
    )
  load = 'import pretrainjax as pj\nencoder = pj.load_encoder("hf:FOLDER")\n'
  if "sound" in reads:
    return (
      f"from pretrainjax.types import Sound\n{load}"
      "sound = Sound(audio, num_samples)  # int16, B S, at 16 kHz; int32, B\n"
      "features = encoder(sound).pooled"
    )
  if len(reads) > 1:
    return (
      "import pretrainjax as pj\n"
      'towers = pj.load("hf:FOLDER").module\n'
      "found = towers.embed_images(images)  # images: uint8, B H W C\n"
      "wanted = towers.embed_texts(tokens)  # tokens: int32, rows of token ids"
    )
  is_text = "texts" in reads
  value = "tokens  # int32, rows of token ids" if is_text else "images  # uint8, B H W C"
  name = value.split()[0]
  return f"{load}features = encoder({name}).pooled  # {name}{value.removeprefix(name)[3:]}"
