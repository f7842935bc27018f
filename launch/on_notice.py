"""Runs a command on a machine of Compute Engine, and tells it when the machine is to be taken away.

  python launch/on_notice.py -- python -m pretrainjax.pretrain --config=... ...

The metadata server says when maintenance will end the machine (a minute before, with GPUs an hour;
`instance/maintenance-event`) and when it is preempted (`instance/preempted`). The command then gets
SIGTERM: it saves, agrees with all other processes of the run, and leaves with 42. On GKE nothing of
this is needed, there the node itself sends SIGTERM. The exit status is the command's.
"""

import argparse
import os
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence

# Keys of the metadata server, and what they say while all is well.
CALM = {"maintenance-event": "NONE", "preempted": "FALSE"}
# Of another address Google's own libraries are told by this variable.
HOST = os.environ.get("GCE_METADATA_HOST", "metadata.google.internal")
# Seconds: that the server holds an answer back while nothing changes; between two tries.
HOLD, PAUSE = 60, 5.0
# Tries in a row without an answer after which a machine is taken for one of another kind.
TRIES = 3


def ask(key: str, *, wait: bool) -> str:
  """The value of a key; with `wait` once it has changed, or after HOLD seconds."""
  url = f"http://{HOST}/computeMetadata/v1/instance/{key}"
  url += f"?wait_for_change=true&timeout_sec={HOLD}" if wait else ""
  request = urllib.request.Request(url, headers={"Metadata-Flavor": "Google"})
  with urllib.request.urlopen(request, timeout=HOLD + 10) as answer:
    return answer.read().decode().strip()


def watch(key: str, notify: Callable[[str], None], *, pause: float = PAUSE) -> None:
  """Calls `notify` once, when a key says something else than that all is well."""
  wait, failed = False, 0
  while True:
    try:
      said = ask(key, wait=wait)
    except (urllib.error.URLError, OSError) as error:
      failed += 1
      if failed == TRIES and not wait:  # it never answered
        say(f"no metadata server at {HOST} ({error}): no notice of {key} will be heard")
        return
      time.sleep(pause)
      continue
    wait, failed = True, 0
    if said != CALM[key]:
      notify(f"{key} is {said}")
      return


def say(text: str) -> None:
  """A line of the launcher's own."""
  print(f"launch/on_notice.py: {text}", flush=True)


def main(argv: Sequence[str] | None = None) -> int:
  """Runs the command; returns its exit status, 128 + n for signal n."""
  parser = argparse.ArgumentParser(
    prog="launch/on_notice.py", description=__doc__.splitlines()[0], allow_abbrev=False
  )
  parser.add_argument("command", nargs="+", metavar="-- COMMAND", help="what to run")
  process = subprocess.Popen(parser.parse_args(argv).command)

  def stop(number: int, frame: object = None) -> None:
    if process.poll() is None:
      process.send_signal(number)

  def notify(text: str) -> None:
    say(f"{text}: asking the run to save and stop")
    stop(signal.SIGTERM)

  for number in (signal.SIGTERM, signal.SIGINT):
    signal.signal(number, stop)
  for key in CALM:
    threading.Thread(target=watch, args=(key, notify), daemon=True).start()
  status = process.wait()
  return status if status >= 0 else 128 - status


if __name__ == "__main__":
  sys.exit(main())
