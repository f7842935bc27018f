"""Files of users and strangers: records, or what is wrong with them in a few words."""

import io
import json

import cv2
import numpy as np
import PIL.Image
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from byte_text import byte_tokenizer
from hypothesis import strategies as st
from rounds import both, bytes_or_edited, edited, fuzz, result_or_line

from pretrainjax.data.decode import decode
from pretrainjax.data.tokenizer import Tokenizer
from pretrainjax.predict.questions import read_questions
from pretrainjax.predict.texts import read_texts
from pretrainjax.prepare.contract import Reached, Unreadable
from pretrainjax.prepare.files.archive import unpack
from pretrainjax.prepare.files.idx import read_idx
from pretrainjax.prepare.text.cleaning import Cleaning
from pretrainjax.prepare.text.columns import guessed
from pretrainjax.prepare.text.document import Document
from pretrainjax.prepare.text.fields import Fields
from pretrainjax.prepare.text.formats import Reader
from pretrainjax.prepare.text.mail import body
from pretrainjax.prepare.text.questions import placed
from pretrainjax.prepare.text.sets.wordnet import synset

ROW = {"text": "words \u00e9", "second": "more", "label": 1, "score": 0.5}
LINES = "\n".join(json.dumps(ROW | {"label": i}) for i in range(3)).encode()
ALL = Fields(second="second", label="label", score="score")


def table(rows: int = 20, **options) -> bytes:
  out = io.BytesIO()
  columns = {name: [value] * rows for name, value in ROW.items()}
  pq.write_table(pa.table(columns), out, **options)
  return out.getvalue()


def check_items(items: list) -> None:
  for item in items:
    assert isinstance(item, Document | Unreadable | Reached)
    if isinstance(item, Reached):
      assert item.amount >= 0
    elif isinstance(item, Document):
      item.to_json().encode("ascii")  # what the first stage writes
      assert item.score is None or np.isfinite(np.float32(item.score))
    else:
      assert item.reason and len(item.reason) < 200


@both(3000)
def test_texts(cases, tmp_path):
  def check(data, suffix, documents, encoding):
    path = tmp_path / f"a{suffix}"
    path.write_bytes(data)
    for fields in (Fields(), ALL):
      reader = Reader(fields, documents=documents, part_characters=7, encoding=encoding)
      check_items(list(reader.records(path, key="k", split=None)))
    result_or_line(lambda: list(read_texts(path)))

  fuzz(
    check,
    bytes_or_edited(LINES, table(), table(compression="zstd", write_page_checksum=True)),
    st.sampled_from([".txt", ".jsonl", ".parquet", ".json", ".csv", ".conllu", ".csv.gz"]),
    st.sampled_from(["file", "part", "paragraph", "line"]),
    st.sampled_from(["utf-8", "utf-16", "latin-1", "utf-7", "shift_jis"]),
    cases=cases,
  )


VALUES = st.recursive(
  st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(max_size=5),
  lambda inner: st.lists(inner, max_size=3),
  max_leaves=4,
)


@both(3000)
def test_fields_of_records(cases):
  tagged = Fields(tags="label")

  def check(record):
    check_items([ALL.document(record, key="k"), tagged.document(record, key="k")])

  fuzz(check, st.dictionaries(st.sampled_from([*ROW, "x"]), VALUES) | VALUES, cases=cases)


ANSWER = {"text": "caf\u00e9", "answer_start": 5}
ASKED = {"id": "a", "question": "Where?", "answers": [ANSWER], "is_impossible": False}
PARAGRAPHS = [{"context": " The caf\u00e9\r\nof Ann", "qas": [ASKED]}] * 2
ARTICLES = {"version": "v2.0", "data": [{"title": "t", "paragraphs": PARAGRAPHS}] * 2}
QUESTIONS = Fields(text="question", second="context", answers="answers")


@both(3000)
def test_questions(cases, tmp_path):
  """What is kept of an answer stands at its place, whatever the file holds."""

  def check(data):
    path = tmp_path / "a.json"
    path.write_bytes(data)
    items = list(Reader(QUESTIONS).records(path, key="k", split=None))
    check_items(items)
    result_or_line(lambda: list(read_questions(path)))
    for item in items:
      if isinstance(item, Document):
        found = placed(item, Cleaning().replaced)
        for answer in found.answers:
          assert answer.start == -1 or found.second.startswith(answer.text, answer.start)
        found.to_json().encode("ascii")

  fuzz(check, bytes_or_edited(json.dumps(ARTICLES).encode()), cases=cases)


@both(3000)
def test_answers_of_records(cases):
  def check(record):
    check_items([QUESTIONS.document(record, key="k")])
    guessed([record])

  lists = {"text": VALUES, "answer_start": VALUES}
  answers = st.fixed_dictionaries(lists) | st.lists(st.fixed_dictionaries(lists), max_size=2)
  texts = {"question": VALUES | st.text(), "context": VALUES | st.text()}
  fuzz(check, st.fixed_dictionaries(texts | {"answers": VALUES | answers}), cases=cases)


def pictures() -> list[bytes]:
  noise = np.random.default_rng(0).integers(0, 255, (20, 24, 3)).astype(np.uint8)
  found = []
  for kind, options in (
    ("JPEG", {}),
    ("JPEG", {"progressive": True}),
    ("PNG", {}),
    ("WEBP", {}),
    ("GIF", {}),
    ("BMP", {}),
    ("PPM", {}),
    ("TIFF", {}),
    ("TIFF", {"compression": "tiff_lzw"}),
  ):
    out = io.BytesIO()
    PIL.Image.fromarray(noise).save(out, kind, **options)
    found.append(out.getvalue())
  return found


# Pillow warns of what it then refuses.
@pytest.mark.filterwarnings("ignore::UserWarning")
@both(6000)
def test_images(cases):
  def check(data):
    try:
      image = decode(data)
    except (ValueError, cv2.error) as error:  # what all who call it expect
      assert str(error)
      return
    assert image.dtype == np.uint8 and image.ndim == 3 and image.shape[2] in (1, 3)

  fuzz(check, bytes_or_edited(*pictures()), cases=cases)


@both(2000)
def test_idx_and_archives(cases, tmp_path):
  import gzip
  import tarfile

  whole = b"\0\0\x08\x02\0\0\0\x02\0\0\0\x03" + bytes(6)
  with tarfile.open(tmp_path / "a.tgz", "w:gz") as archive:
    info = tarfile.TarInfo("package/a")
    info.size = 5
    archive.addfile(info, io.BytesIO(b"hello"))
  packed = (tmp_path / "a.tgz").read_bytes()
  bare = gzip.decompress(packed)

  def check(idx, again, is_packed):
    path = tmp_path / "a.gz"
    path.write_bytes(idx)
    found = result_or_line(lambda: read_idx(path))
    assert found is None or found.dtype == np.uint8
    path.write_bytes(again if is_packed else gzip.compress(again))
    try:
      unpack(path, tmp_path / "out" / "deep", max_bytes=1 << 20)
    except ValueError as error:
      assert str(error)
    assert not [p for p in (tmp_path / "out").glob("*") if p.name != "deep"]

  fuzz(
    check,
    bytes_or_edited(gzip.compress(whole)),
    st.one_of(edited(packed), edited(bare)),
    st.booleans(),
    cases=cases,
  )
  assert {p.name for p in tmp_path.iterdir()} <= {"a.gz", "a.tgz", "out"}


@both(2000)
def test_mail_and_synsets(cases):
  mail = b"Content-Type: text/html; charset=utf-8\n\n<p>words<br><!-- x --><a href='x'>more</a>"
  parts = b'Content-Type: multipart/mixed; boundary="b"\n\n--b\n\nwords\n--b--\n'
  line = b'00001740 03 n 01 entity 0 000 | that which is; "x"\n'

  def check(message, text):
    try:
      assert isinstance(body(message), str)
    except Exception as error:  # the source counts those
      assert not isinstance(error, MemoryError)
    found = synset(text.decode("utf-8", "replace"), key="k", examples=False)
    assert isinstance(found, Document | Unreadable)

  fuzz(check, bytes_or_edited(mail, parts), bytes_or_edited(line), cases=cases)


@both(1500)
def test_tokenizers(cases, tmp_path):
  whole = byte_tokenizer().text.encode()

  def check(data):
    path = tmp_path / "tokenizer.json"
    path.write_bytes(data)
    found = result_or_line(lambda: Tokenizer.load(path))
    if found is None:
      return
    for use in (
      lambda: found.starts_word.shape == (found.vocab_size,),
      lambda: found.special_ids and found.fingerprint,
      lambda: found.encode("words [MASK] \u00e9"),
      lambda: found.encode_batch(["a", ""]),
      lambda: found.decode([0, 1, 10**6]),
    ):
      result_or_line(use)

  fuzz(check, bytes_or_edited(whole), cases=cases)
