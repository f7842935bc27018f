"""What a person would read of an e-mail: no headers, no attachments, no markup."""

import email
import email.message
import html.parser
import re

_BLOCKS = frozenset(
  "p br div tr td th li ul ol table h1 h2 h3 h4 h5 h6 hr blockquote center title".split()
)
# Of HTML; what else stands in angle brackets may be an address or a program.
_TAG = re.compile(
  r"</?(?:html|head|body|title|p|br|div|span|font|center|table|tr|td|th|tbody|a|img|b|i|u|strong|em"
  r"|ul|ol|li|h[1-6]|hr|meta|form|input|blockquote|!--)(?:\s[^<>]*)?/?>",
  re.IGNORECASE,
)
_SILENT = frozenset(("script", "style"))
# What opens, and what closes it; a parser looks for that to the end of the text, each time anew.
_PAIRS = (("<", ">"), ("<!--", "-->"), ("<![", "]>"))
_MOST_OPEN, _MOST_MARKUP = 100, 1 << 20


def body(raw: bytes) -> str:
  """The text of an e-mail message.

  Args:
    raw: the whole message, in whatever state.

  Returns:
    The plain parts if there are any, else what is left of the HTML ones; "" for neither.
  """
  message = email.message_from_bytes(raw)
  parts = [part for part in message.walk() if part.get_content_maintype() == "text"]
  # A message that claims several parts and has none is its own text.
  if not parts and not message.is_multipart() and message.get_content_maintype() == "multipart":
    parts = [message]
  html_parts = [part for part in parts if part.get_content_subtype() == "html"]
  plain = "\n\n".join(_decoded(part) for part in parts if part not in html_parts)
  if plain.strip():
    # Many a message is HTML, or has some, and does not say so.
    is_html = re.match(r"\s*<(!doctype|html|body)\b", plain, re.IGNORECASE)
    return without_tags(plain) if is_html else _TAG.sub(" ", plain)
  return "\n\n".join(without_tags(_decoded(part)) for part in html_parts)


def _decoded(part: email.message.Message) -> str:
  payload = part.get_payload(decode=True)
  if not isinstance(payload, bytes):
    return ""
  try:
    return payload.decode(part.get_content_charset("utf-8"))
  except (LookupError, UnicodeDecodeError, ValueError):
    return payload.decode("latin-1")  # knows every byte


def without_tags(markup: str) -> str:
  """The text of HTML, one line a block; text that only looks like HTML loses known tags alone."""
  if len(markup) > _MOST_MARKUP or _is_never_closed(markup):
    return _TAG.sub(" ", markup)
  reader = _Reader()
  reader.feed(markup)
  reader.close()
  lines = (" ".join(line.split()) for line in "".join(reader.found).split("\n"))
  return "\n".join(line for line in lines if line)


def _is_never_closed(markup: str) -> bool:
  return any(
    markup.count(opening, markup.rfind(closing) + 1) > _MOST_OPEN for opening, closing in _PAIRS
  )


class _Reader(html.parser.HTMLParser):
  """Gathers what is between tags."""

  def __init__(self):
    super().__init__(convert_charrefs=True)
    self.found: list[str] = []
    self._silent = False

  def handle_starttag(self, tag: str, attrs: list) -> None:
    self._silent = tag in _SILENT
    if tag in _BLOCKS:
      self.found.append("\n")

  def handle_endtag(self, tag: str) -> None:
    self._silent = False
    if tag in _BLOCKS:
      self.found.append("\n")

  def handle_data(self, data: str) -> None:
    if not self._silent:
      # Lines of the markup are no lines of the text.
      self.found.append(re.sub(r"\s+", " ", data))
