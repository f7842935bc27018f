"""Folders as the Debian packages of sounds unpack to, with tones in place of voices."""

from pathlib import Path

import soundfile
from tiny_sounds import tone, write_wav


def unpack(root: Path) -> Path:
  """Makes a few files of each package below a folder; returns it."""
  share = root / "usr/share"
  number = 0
  voices = ("en_US_f_Allison", "es_MX_f_Allison", "fr_CA_f_June", "it_IT_m_Carlo")
  voices += ("ru_RU_f_IvrvoiceRU", "it_IT_f_Menardi")
  for voice in voices:
    for prompt in ("hello", "digits/1", "digits/2", "letters/a", "phonetic/a_p", "silence/1"):
      path = share / f"asterisk/sounds/{voice}/{prompt}.wav"
      write_wav(path, tone(number, rate=8000), rate=8000)
      number += 1
  for voice in ("es", "fr"):
    (share / f"asterisk/sounds/{voice}/digits").mkdir(parents=True)
    for prompt in ("hello", "digits/1"):
      path = share / f"asterisk/sounds/{voice}/{prompt}.gsm"
      soundfile.write(path, tone(number, rate=8000), 8000, format="RAW", subtype="GSM610")
      number += 1
  for path in ("ktuberling/sounds/de/ball.ogg", "ktuberling/sounds/fr/ball.ogg"):
    write_wav(share / path, tone(number), format="OGG")
    number += 1
  for path in ("de/alpha/a.ogg", "de/syllab/ab.ogg", "cs/alpha/a.ogg"):
    write_wav(share / "klettres" / path, tone(number), format="OGG")
    number += 1
  stamps = share / "tuxpaint/stamps"
  for path in ("animals/frog_desc.ogg", "animals/frog_desc_fr.ogg", "animals/frog.ogg"):
    write_wav(stamps / path, tone(number), format="OGG")
    number += 1
  write_wav(stamps / "animals/frog-2_desc.ogg", tone(number), format="OGG")
  write_wav(stamps / "food/bread_desc_fr.ogg", tone(number + 1), format="OGG")
  for stamp in ("frog", "frog-2"):
    (stamps / f"animals/{stamp}.txt").write_text("A frog.\nfr.utf8=Une grenouille.\n")
  (stamps / "food/bread.txt").write_text("Bread.\nde.utf8=Brot.\n")
  return root
