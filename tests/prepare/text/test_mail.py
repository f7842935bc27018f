"""Of an e-mail only what a person reads is left."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pretrainjax.prepare.text.mail import body, without_tags

HEAD = b"From x@y  Thu Aug 22 12:36:23 2002\nX-Spam-Status: Yes\nSubject: win\n"


def test_headers_go():
  assert body(HEAD + b"\nHello,\n\nyou.\n") == "Hello,\n\nyou.\n"


@pytest.mark.parametrize(
  "kind, content, text",
  [
    (b"Content-Transfer-Encoding: base64", b"SGVsbG8=", "Hello"),
    (b"Content-Transfer-Encoding: quoted-printable", b"H=C3=A4llo", "H\u00e4llo"),
    (b"Content-Type: text/plain; charset=iso-8859-1", b"H\xe4llo", "H\u00e4llo"),
    (b"Content-Type: text/plain; charset=klingon", b"H\xe4llo", "H\u00e4llo"),
    (b"Content-Type: text/html", b"<p>Hello<br>you</p>", "Hello\nyou"),
    (b"X: y", b"<HTML><b>Hello</b></HTML>", "Hello"),
    (b"X: y", b"Hello <a href='x'>you</a> <me@you>", "Hello  you  <me@you>"),
    (b"Content-Type: image/png", b"xxx", ""),
  ],
)
def test_what_is_encoded_is_decoded(kind, content, text):
  assert body(HEAD + kind + b"\n\n" + content) == text


def multipart(*parts: tuple[bytes, bytes]) -> bytes:
  joined = b"".join(b"--b\nContent-Type: %s\n\n%s\n" % part for part in parts)
  return HEAD + b'Content-Type: multipart/mixed; boundary="b"\n\n' + joined + b"--b--\n"


def test_plain_parts_come_before_html_and_attachments_go():
  parts = ((b"text/html", b"<i>one</i>"), (b"application/pdf", b"x"), (b"text/plain", b"two"))
  assert body(multipart(*parts)).strip() == "two"
  assert body(multipart(*parts[:2])) == "one"
  assert body(multipart(parts[1])) == ""
  assert body(HEAD + b'Content-Type: multipart/mixed; boundary="b"\n\nloose') == "loose"


def test_markup():
  html = "<html><style>p {}</style><script>if (a < b) c();</script><p>a &amp; b\n c<td>d<!-- e -->"
  assert without_tags(html) == "a & b c\nd"


@given(st.binary())
def test_no_message_is_too_broken(raw):
  assert isinstance(body(raw), str)
  assert isinstance(body(HEAD + b"Content-Type: text/html; charset=" + raw), str)


@pytest.mark.parametrize("text", ["<a ", "<!--", "<![", "</", '<a x="', "<!-- > <a x=' "])
def test_markup_that_never_ends_is_read_in_no_time(text):
  """A parser looks for the end of each to the end of the text: 20,000 took a minute."""
  start = time.monotonic()
  found = body(b"Content-Type: text/html\n\nwords" + text.encode() * 40_000)
  assert "words" in found and time.monotonic() - start < 5
