import json
import struct

import numpy as np
import pytest
import their_folders

from pretrainjax.checkpoint.encoder import load, load_encoder
from pretrainjax.convert import ctranslate2
from pretrainjax.convert.ctranslate2 import read_variables, read_whisper
from pretrainjax.errors import UserError
from pretrainjax.report.description import describe
from pretrainjax.train.load_params import load_params

KIND = "WhisperForConditionalGeneration"


def name_of(text):
  return struct.pack("<H", len(text) + 1) + text.encode() + b"\0"


def variable(name, array):
  kinds = {"float16": 4, "float32": 0, "int8": 1, "int16": 2}
  array = np.asarray(array)
  head = struct.pack(f"<B{array.ndim}I", array.ndim, *array.shape)
  return (
    name_of(name)
    + head
    + struct.pack("<BI", kinds[array.dtype.name], array.nbytes)
    + (array.tobytes())
  )


def content(variables, aliases=(("decoder/projection/weight", "decoder/embeddings/weight"),)):
  data = struct.pack("<I", 6) + name_of("WhisperSpec") + struct.pack("<II", 3, len(variables))
  data += b"".join(variable(name, array) for name, array in variables.items())
  data += struct.pack("<I", len(aliases))
  return data + b"".join(name_of(alias) + name_of(name) for alias, name in aliases)


def as_theirs(tensors):
  """Tensors of transformers by the names of CTranslate2, fused as there."""
  found = {"decoder/pre_norm": np.int8(1), "decoder/scale_embeddings": np.int8(0)}
  found |= {f"{side}/num_heads": np.int16(2) for side in ("encoder", "decoder")}
  half = {name.removeprefix("model."): t.astype(np.float16) for name, t in tensors.items()}
  for side in ("encoder", "decoder"):
    found[f"{side}/position_encodings/encodings"] = half[f"{side}.embed_positions.weight"]
    parts = {"layer_norm": "layer_norm"}
    for i in range(2):
      ours, theirs = f"{side}.layers.{i}", f"{side}/layer_{i}"
      parts |= {f"layers.{i}.fc1": f"layer_{i}/ffn/linear_0"}
      parts |= {f"layers.{i}.fc2": f"layer_{i}/ffn/linear_1"}
      parts |= {f"layers.{i}.final_layer_norm": f"layer_{i}/ffn/layer_norm"}
      attentions = {"self_attn": "self_attention", "encoder_attn": "attention"}
      for their, our in attentions.items():
        if side == "encoder" and their == "encoder_attn":
          continue
        parts |= {f"layers.{i}.{their}_layer_norm": f"layer_{i}/{our}/layer_norm"}
        place = (ours, theirs, their, our)
        found |= attention(half, *place)
    for their, our in parts.items():
      is_norm = our.endswith("layer_norm")
      words = (
        {"weight": "gamma", "bias": "beta"} if is_norm else {"weight": "weight", "bias": "bias"}
      )
      found |= {f"{side}/{our}/{w}": half[f"{side}.{their}.{n}"] for n, w in words.items()}
  for i in (1, 2):
    found |= {f"encoder/conv{i}/{n}": half[f"encoder.conv{i}.{n}"] for n in ("weight", "bias")}
  return found | {"decoder/embeddings/weight": half["decoder.embed_tokens.weight"]}


def attention(half, ours, theirs, their, our):
  groups = ("qkv",) if our == "self_attention" else ("q", "kv")
  made = {}
  for number, letters in enumerate(groups):
    for word in ("weight", "bias"):
      zeros = np.zeros(8, np.float16)
      parts = [half.get(f"{ours}.{their}.{letter}_proj.{word}", zeros) for letter in letters]
      made[f"{theirs}/{our}/linear_{number}/{word}"] = np.concatenate(parts)
  for word in ("weight", "bias"):
    out = half[f"{ours}.{their}.out_proj.{word}"]
    made[f"{theirs}/{our}/linear_{len(groups)}/{word}"] = out
  return made


@pytest.fixture(scope="module")
def tensors():
  with pytest.MonkeyPatch.context() as patch:
    patch.setitem(their_folders.CONFIGS, KIND, their_folders.WHISPER | {"model_type": "whisper"})
    return their_folders.tensors_of(KIND)


@pytest.fixture
def folder(tmp_path, tensors):
  (tmp_path / "model.bin").write_bytes(content(as_theirs(tensors)))
  added = [
    {"content": "<|endoftext|>", "id": 2},
    {"content": "<|startoftranscript|>", "id": 3},
  ]
  (tmp_path / "tokenizer.json").write_text(json.dumps({"added_tokens": added}))
  return tmp_path


def test_a_folder_is_read(folder, tensors):
  found = read_whisper(folder)
  encoder, decoder = found.module.encoder, found.module.decoder
  assert (encoder.length, decoder.max_length, decoder.vocab_size) == (6, 7, 11)
  assert (decoder.start_id, decoder.end_id) == (3, 2)
  expected = {
    "model.encoder.conv2.weight": encoder.conv2.kernel[...].transpose(2, 1, 0),
    "model.encoder.layers.1.self_attn.v_proj.weight": encoder.blocks.attention.value.kernel[1].T,
    "model.decoder.layers.0.encoder_attn.k_proj.weight": (
      decoder.blocks.cross_attention.key.kernel[0].T
    ),
    "model.decoder.layers.1.final_layer_norm.bias": decoder.blocks.norm2.bias[1],
    "model.decoder.layer_norm.weight": decoder.norm.scale[...],
  }
  for name, array in expected.items():
    half = tensors[name].astype(np.float16).astype(np.float32)
    np.testing.assert_array_equal(array, half, err_msg=name)


CHANGES = {
  "a bias of keys": lambda v: v["encoder/layer_0/self_attention/linear_0/bias"].__setitem__(9, 1),
  "not quantised": lambda v: v.update({"encoder/conv1/bias": np.zeros(8, np.int8)}),
  "no finite number": lambda v: v["encoder/conv1/bias"].__setitem__(0, np.nan),
  "expected 1": lambda v: v.update({"decoder/pre_norm": np.int8(0)}),
  "no number of heads": lambda v: v.pop("encoder/num_heads"),
  "missing tensors": lambda v: v.pop("encoder/layer_1/ffn/linear_0/bias"),
  "unknown tensors": lambda v: v.update({"encoder/conv3/bias": np.zeros(8, np.float16)}),
  "makes no model": lambda v: v.update({"encoder/num_heads": np.int16(3)}),
  "equal parts": lambda v: v.update(
    {"encoder/layer_0/self_attention/linear_0/bias": np.zeros(25, np.float16)}
  ),
  "no array of 3 axes": lambda v: v.update({"encoder/conv1/weight": np.zeros(8, np.float16)}),
}


@pytest.mark.parametrize("said", CHANGES)
def test_what_ours_is_not_is_refused(folder, tensors, said):
  variables = {name: np.array(array) for name, array in as_theirs(tensors).items()}
  CHANGES[said](variables)
  (folder / "model.bin").write_bytes(content(variables))
  with pytest.raises(UserError, match=said):
    read_whisper(folder)


SOME = {"a": np.zeros((2, 3), np.float16)}
ONE, TWO = (struct.pack("<I", count) for count in (1, 2))
FILES = {
  "is 'X' of format 6": struct.pack("<I", 6) + name_of("X") + struct.pack("<I", 3),
  "of format 5": struct.pack("<I", 5) + name_of("WhisperSpec") + struct.pack("<I", 3),
  "ends at byte 3": b"abc",
  "4294967295 variables": content({})[:22] + b"\xff" * 4,
  "bytes behind its end": content(SOME, ()) + b"x",
  "ends at byte": content(SOME, ())[:-9],
  "has 'a' twice": content(SOME, ()).replace(
    struct.pack("<I", 1) + name_of("a"),
    struct.pack("<I", 2) + variable("a", SOME["a"]) + name_of("a"),
  ),
  "for 'a', expected the table": content(SOME, (("b", "a"),)),
  "has 12 bytes for 'a'": content(SOME, ()).replace(
    struct.pack("<II", 2, 3), struct.pack("<II", 2, 9)
  ),
  "has 200 axes": content(SOME, ()).replace(b"a\0\2", b"a\0\xc8"),
  "has dtype 9": content(SOME, ()).replace(b"\4\x0c\0\0\0", b"\x09\x0c\0\0\0"),
  "has no name": content(SOME, ()).replace(b"\2\0a\0", b"\2\0\xff\0"),
  "a name of 1 bytes": content(SOME, ()).replace(b"\2\0a\0", b"\1\0a\0"),
}


@pytest.mark.parametrize("said", FILES)
def test_a_damaged_file_is_one_line(tmp_path, said):
  (tmp_path / "model.bin").write_bytes(FILES[said])
  with pytest.raises(UserError, match=said) as refusal:
    read_variables(tmp_path / "model.bin")
  assert "\n" not in str(refusal.value)


def test_every_cut_and_every_changed_byte_is_a_line_or_variables(tmp_path):
  data = content({"ab": np.arange(3, dtype=np.float16), "c": np.int8(1)}, ())
  path, rng = tmp_path / "model.bin", np.random.default_rng(0)
  for place in range(len(data)):
    for changed in (data[:place], _with_byte(data, place, int(rng.integers(256)))):
      path.write_bytes(changed)
      try:
        found = read_variables(path)
        assert len(found) == 2 and all(array.nbytes in (1, 6) for array in found.values())
      except UserError as refusal:
        assert str(refusal).isprintable()


def _with_byte(data, place, value):
  return data[:place] + bytes([value]) + data[place + 1 :]


@pytest.mark.parametrize(
  "name, text, said",
  [
    ("tokenizer.json", '{"added_tokens": [{"content": ["x"], "id": 1}]}', "has no token <|startof"),
    ("tokenizer.json", "[]", "has no token"),
  ],
)
def test_files_beside_that_are_none(folder, name, text, said):
  (folder / name).write_text(text)
  with pytest.raises(UserError, match=said.replace("|", r"\|")):
    ctranslate2.read_whisper(folder)


def test_a_folder_without_a_model_is_one_line(tmp_path, folder):
  with pytest.raises(UserError, match=r"ct2:.*nothing: model.bin is missing"):
    read_whisper(tmp_path / "nothing")


def test_it_is_loaded_as_other_models_are(folder):
  found = load(f"ct2:{folder}")
  assert found.source == "ct2" and found.title == "a model of decoder and encoder"
  assert type(load_encoder(f"ct2:{folder}")).__name__ == "WhisperEncoder"
  for ask, said in (
    (lambda: load(f"ct2:{folder}", step=3), "found a step, expected ct2:FOLDER"),
    (lambda: load(f"ct2:{folder}:head"), "the model has no part 'head'"),
    (lambda: load(f"ct2:{folder}", weights="ema"), "such a model has no moving average"),
    (lambda: describe(f"ct2:{folder}"), "found a model of CTranslate2, expected a run"),
    (lambda: load_params(f"ct2:{folder}"), "found a model of CTranslate2, expected a run"),
  ):
    with pytest.raises(UserError, match=said):
      ask()
