"""Sound: rows of a few lengths, crops, transcripts, and who is held out together."""

from pathlib import Path

import numpy as np
import pytest
import tiny_sounds
from streams import take

from pretrainjax.data.audio_data import AudioData
from pretrainjax.data.buckets import Buckets, bucket_lengths, padding_of
from pretrainjax.data.dataset import Dataset
from pretrainjax.data.fields.audio import AudioField
from pretrainjax.data.fields.text import TextField
from pretrainjax.data.prepared_facts import PreparedFacts
from pretrainjax.errors import UserError
from pretrainjax.prepare.audio.example import Facts

LENGTHS = [1600 + 800 * i for i in range(12)]
WORDS = ("yes", "no no", "a b c")
# Samples at 8 kHz of the 3,326 prompts of six Debian packages: asterisk-core-sounds-{en,es,fr,it,
# ru}-wav 1.6.1-1 and asterisk-prompt-it-menardi-wav, without `silence/`.
PROMPTS = Path(__file__).with_name("asterisk_lengths.txt")


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
  """Two sets: "counts", whose samples count, and "spoken", with transcripts, classes, speakers."""
  data_dir = tmp_path_factory.mktemp("data")
  sounds = [tiny_sounds.counting(i, length) for i, length in enumerate(LENGTHS)]
  tiny_sounds.write("counts", data_dir, sounds)
  spoken = [
    tiny_sounds.counting(i, 2000 + 100 * i)._replace(
      facts=Facts(label="ab"[i % 2], text=WORDS[i % 3], split="train"), group=f"speaker {i // 10}"
    )
    for i in range(40)
  ]
  tiny_sounds.write("spoken", data_dir, spoken)
  return data_dir


@pytest.fixture
def make(data_dir):
  """Returns `make(**changes)`, an AudioData of "counts"."""

  def make(**changes) -> AudioData:
    options = {"datasets": "counts", "batch_size": 4, "max_seconds": 1.0}
    return AudioData(**(options | {"data_dir": str(data_dir)} | changes))

  return make


def rows_of(batches) -> list[np.ndarray]:
  """The sound of all rows, without padding, which is checked to be 0."""
  found = []
  for batch in batches:
    assert batch["audio"].dtype == np.int16 and batch["num_samples"].dtype == np.int32
    for row, count in zip(batch["audio"], batch["num_samples"], strict=True):
      assert not row[count:].any()
      found.append(row[:count])
  return found


def test_sounds_are_padded_at_their_ends(make):
  data = make()
  batches = list(data.one_pass())
  assert {batch["audio"].shape for batch in batches} == {(4, 16_000)}
  rows = rows_of(batches)
  assert sorted(len(row) for row in rows) == LENGTHS
  assert all(np.array_equal(row, row[0] + np.arange(len(row))) for row in rows)
  expected = {name: shape.shape for name, shape in data.shapes({}).items() if name != "label"}
  assert expected == {"audio": (16_000,), "num_samples": ()}
  assert data.count(batches[0]) == {"seconds": batches[0]["num_samples"].sum() / 16_000}


def test_longer_sounds_are_cropped_anew_each_epoch(make):
  data = make(max_seconds=0.2)
  starts = {}
  for row in rows_of(take(data, 30)):
    assert len(row) <= 3200 and np.array_equal(row, row[0] + np.arange(len(row)))
    starts.setdefault(row[0] // 10_000, set()).add(int(row[0]))
  cropped = rows_of(make(max_seconds=0.2, crop="start").one_pass())
  assert sorted(row[0] % 100 for row in cropped) == [1] * 12
  assert len(set().union(*starts.values())) > 40
  again = zip(rows_of(take(data, 9)), rows_of(take(data, 9)), strict=True)
  assert all(np.array_equal(one, other) for one, other in again)


def test_buckets_and_passes_by_length_hold_what_single_rows_do(make):
  plain = sorted(row.tobytes() for row in rows_of(make().one_pass()))
  data = make(buckets=3)
  batches = take(data, 48 * 3 // 4)  # a window
  widths = {batch["audio"].shape[1] for batch in batches}
  assert 1 < len(widths) <= 3 and max(widths) < 16_000
  rows = rows_of(batches)
  assert {row.tobytes() for row in rows} == set(plain)
  by_length = list(data.pass_by_length())
  assert sorted(row.tobytes() for row in rows_of(by_length)) == plain
  assert sum(batch["audio"].size for batch in by_length) < 0.8 * 12 * 16_000


def test_resume_is_exact_with_buckets(make):
  data = make(buckets=3)
  whole = take(data, 9)
  for expected, found in zip(whole[5:], take(data, 4, start=5), strict=True):
    assert all(np.array_equal(found[name], expected[name]) for name in expected)


def prompt_lengths() -> np.ndarray:
  """The lengths of real prompts at 16 kHz."""
  return 2 * np.loadtxt(PROMPTS, dtype=int)


@pytest.mark.parametrize(("max_seconds", "buckets"), [(8, 8), (16, 12), (30, 16)])
def test_less_than_15_percent_of_real_batches_is_padding(max_seconds, buckets):
  lengths = np.minimum(prompt_lengths(), max_seconds * 16_000)
  sizes = {"longest": max_seconds * 16_000, "step": 1600}
  found = bucket_lengths(lengths, buckets=buckets, by="padding", **sizes)
  padding = padding_of(lengths, found)
  assert padding.share < 0.15 < 0.7 < padding.share_of_one
  order = np.random.default_rng(0).permutation(len(lengths))
  size, count = 16, 16 * 16 * buckets  # a window
  numbers = [(0, int(order[i % len(order)])) for i in range(count)]
  options = {"buckets": found, "batch_size": size, "seed": 0}
  rows = Buckets(numbers, (lengths,), **options)
  used, real = 0, 0
  for i in range(count):
    row = rows[i]
    used, real = used + row.length, real + lengths[row.key[1]]
  assert 1 - real / used < 0.15
  by_rows = bucket_lengths(lengths, buckets=buckets, **sizes)
  assert padding_of(lengths, by_rows).share > padding.share


def test_transcripts_become_tokens(make):
  data = make(datasets="spoken", text_length=6, batch_size=8)
  batch = next(iter(data.one_pass()))
  assert batch["tokens"].shape == batch["segments"].shape == (8, 6)
  assert batch["tokens"].dtype == batch["segments"].dtype == np.int32
  found = {
    data.tokenizer.decode(tokens[segments > 0])
    for tokens, segments in zip(batch["tokens"], batch["segments"], strict=True)
  }
  assert found <= set(WORDS) and len(found) > 1
  assert (batch["tokens"][batch["segments"] == 0] == data.tokenizer.pad_id).all()
  assert set(batch["label"].tolist()) == {0, 1}
  assert {"tokens", "segments"} <= set(data.shapes({"vocab_size": 30}))


def test_a_transcript_is_never_cut(make):
  with pytest.raises(UserError, match="text_length: found 4, expected at least 5, the longest"):
    _ = make(datasets="spoken", text_length=4).field
  with pytest.raises(UserError, match="max_seconds: found 0.2, .* cannot be cropped"):
    _ = make(datasets="spoken", text_length=6, max_seconds=0.2).field
  with pytest.raises(UserError, match="'counts' has features .*, expected a 'tokens'"):
    _ = make(text_length=6).field


def test_a_decoder_reads_the_transcript_as_text(data_dir):
  fields = {"audio": AudioField(max_seconds=1.0), "text": TextField(length=8)}
  options = {"datasets": "spoken", "batch_size": 4, "data_dir": str(data_dir)}
  data = Dataset(fields=fields, **options)
  batch = next(iter(data.one_pass()))
  assert batch["audio"].shape == (4, 16_000) and batch["tokens"].shape == (4, 8)
  assert (batch["tokens"][:, 0] == data.tokenizer.begin_id).all()


def test_a_speaker_is_held_out_whole(make):
  parts = {part: make(datasets="spoken", part=part) for part in ("fit", "held_out")}
  speakers = {
    part: set(data.sources[0].group_ids[data.rows_used[0]].tolist()) for part, data in parts.items()
  }
  assert {part: len(found) for part, found in speakers.items()} == {"fit": 3, "held_out": 1}
  assert not speakers["fit"] & speakers["held_out"]


def test_facts_that_networks_follow(data_dir):
  facts = PreparedFacts("spoken", data_dir=str(data_dir))
  assert facts.sampling_rate == 16_000 and facts.num_classes == 2
  assert facts.longest_seconds == 5900 / 16_000 and facts.transcript_length == 5
  assert facts.vocab_size == facts.tokenizer.vocab_size == 5 + len("abcenosy") + 1
  bare = PreparedFacts("counts", data_dir=str(data_dir))
  with pytest.raises(LookupError, match="'counts' has no transcripts"):
    _ = bare.transcript_length
  with pytest.raises(LookupError, match="'counts' has no text"):
    _ = bare.vocab_size
