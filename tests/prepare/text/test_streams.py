"""Text out of files, packed or not, in any encoding."""

import gzip
import io

import pyarrow
import pytest

from pretrainjax.prepare.text.streams import NoText, open_text

TEXT = "caf\u00e9\r\nna\u00efve \u4f60\u597d\n" * 3000


def text_of(path, encoding: str = "utf-8") -> str:
  with open_text(path, encoding=encoding) as stream:
    return "".join(stream.chunks())


def pack(path, data: bytes):
  if path.suffix == ".gz":
    data = gzip.compress(data[:1000]) + gzip.compress(data[1000:])  # of two members
  elif path.suffix == ".zst":
    sink = pyarrow.BufferOutputStream()
    with pyarrow.CompressedOutputStream(sink, "zstd") as stream:
      stream.write(data)
    data = sink.getvalue().to_pybytes()
  path.write_bytes(data)
  return path


@pytest.mark.parametrize("name", ["a.txt", "a.txt.gz", "a.txt.zst"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32", "utf-16-le"])
def test_the_same_text_whatever_it_lies_in(tmp_path, name, encoding):
  path = pack(tmp_path / name, TEXT.encode(encoding))
  asked = encoding if encoding == "utf-16-le" else "utf-8"
  assert text_of(path, asked) == TEXT.replace("\r\n", "\n")
  with open_text(path, encoding=asked) as stream:
    assert io.BytesIO(stream.utf8.read()).getvalue() == TEXT.encode()
    assert stream.tell() == path.stat().st_size


@pytest.mark.parametrize("name", ["a.txt.gz", "a.txt.zst"])
def test_what_breaks_off_is_told(tmp_path, name):
  path = pack(tmp_path / name, TEXT.encode())
  path.write_bytes(path.read_bytes()[:-9])
  with pytest.raises(NoText, match=f"not a whole {path.suffix}"):
    text_of(path)
  path.write_bytes(b"nothing of the kind, but long enough")
  with pytest.raises(NoText, match=f"not a whole {path.suffix}"):
    text_of(path)


@pytest.mark.parametrize(
  "data, reason",
  [
    (b"caf\xe9", "not UTF-8 \\(--config.source.encoding names another\\)"),
    ("ab c".encode("utf-16-le"), "--config.source.encoding=utf-16-le"),
    ("ab c".encode("utf-16-be"), "--config.source.encoding=utf-16-be"),
    (b"\0" * 100, "zero bytes, no text"),
    (b"a" * 5_000_000 + b"\0" * 5_000_000, "zero bytes, no text"),
    ("\ufeffab".encode("utf-16")[:-1], "not UTF-16"),
  ],
)
def test_what_is_no_text(tmp_path, data, reason):
  (tmp_path / "a").write_bytes(data)
  with pytest.raises(NoText, match=reason):
    text_of(tmp_path / "a")


def test_a_few_zeros_are_no_harm(tmp_path):
  (tmp_path / "a").write_bytes(b"some text\0 and more of it")
  assert text_of(tmp_path / "a") == "some text\0 and more of it"
  (tmp_path / "a").write_bytes(b"")
  assert text_of(tmp_path / "a") == ""
