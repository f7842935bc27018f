import json

import their_folders

from pretrainjax.checkpoint.encoder import load
from pretrainjax.checkpoint.reference import Reference
from pretrainjax.config.objects import recipe
from pretrainjax.export.card import card, uses_of
from pretrainjax.export.write import Written
from pretrainjax.models.whisper import WhisperEncoder

HOW = {"library": "transformers", "uses": {}}


def test_it_says_what_it_is_and_how_to_load_it(tmp_path):
  folder = their_folders.make(tmp_path / "minilm")
  written = Written("BertForMaskedLM", ("encoder", "head"), ("projector",), 1234, ("texts",))
  loaded, reference = load(f"hf:{folder}"), Reference.parse(f"hf:{folder}")
  uses = uses_of(written, loaded.config.objective.backbone)
  how = {"license_name": "mit", "reference": reference, "library": "transformers", "uses": uses}
  text = card(loaded, written, **how)
  assert text.startswith("---\nlibrary_name: transformers\nlicense: mit\n")
  for part in (
    "# minilm",
    "1,234 parameters (encoder, head)",
    "Not part of it: projector.",
    "Objective: Imported; step 0.",
    'BertForMaskedLM.from_pretrained("FOLDER")',
    'pj.load_encoder("hf:FOLDER")',
    '"vocab_size": 11',
  ):
    assert part in text, part


def test_of_sound_it_says_what_both_read():
  sizes = {"embed_dim": 8, "num_layers": 1, "num_heads": 2, "mlp_dim": 8}
  for kind, call in (
    ("WhisperForConditionalGeneration", "model.generate("),
    ("ASTModel", "model("),
  ):
    uses = uses_of(Written(kind, ("encoder",), (), 1, ("sound",)), recipe(WhisperEncoder, **sizes))
    assert "AutoFeatureExtractor" in uses["transformers"] and call in uses["transformers"]
    assert "Sound(audio, num_samples)" in uses["pretrainjax"]


def test_measured_numbers_have_their_protocol(tmp_path):
  import dataclasses

  folder = their_folders.make(tmp_path)
  loaded = dataclasses.replace(load(f"hf:{folder}"), source="run", step=7)
  (tmp_path / "evaluation").mkdir()
  rows = [
    {"evaluator": "knn", "metric": "top1", "value": 0.5, "step": 7, "protocol": {"k": 20}},
    {"evaluator": "knn", "metric": "top1", "value": 0.25, "step": 6, "protocol": {"k": 20}},
  ]
  (tmp_path / "evaluation" / "results.jsonl").write_text("\n".join(map(json.dumps, rows)) + "\n")
  written = Written("BertForMaskedLM", ("encoder",), (), 1, ("texts",))
  text = card(loaded, written, license_name="", reference=Reference.parse(tmp_path), **HOW)
  assert "license: unknown" in text and "| knn" in text and "k=20" in text
  assert "0.5" in text and "0.25" not in text
