"""Threads hold no more than there is, and the one that asks for much gets its turn."""

import threading

from pretrainjax.data.memory_budget import MemoryBudget


def test_who_finds_too_little_waits_until_others_give_back():
  budget, order = MemoryBudget(10), []
  first = budget.held(6)
  first.__enter__()

  def second():
    with budget.held(5):
      order.append("second")

  waiting = threading.Thread(target=second)
  waiting.start()
  waiting.join(0.05)
  assert waiting.is_alive() and not order
  first.__exit__(None, None, None)
  waiting.join(5)
  assert order == ["second"]


def test_more_than_there_is_is_had_alone_and_an_error_gives_back():
  budget = MemoryBudget(10)
  try:
    with budget.held(1000):
      assert budget._held == 10
      raise ValueError
  except ValueError:
    pass
  with budget.held(10):
    assert budget._held == 10
  assert budget._held == 0


def test_small_ones_do_not_overtake_a_large_one():
  budget, order = MemoryBudget(10), []
  held = budget.held(5)
  held.__enter__()

  def take(amount):
    with budget.held(amount):
      order.append(amount)

  threads = []
  for amount in (9, 1):
    threads.append(threading.Thread(target=take, args=(amount,)))
    threads[-1].start()
    threads[-1].join(0.05)
  assert not order  # 1 would fit, but 9 came first
  held.__exit__(None, None, None)
  for thread in threads:
    thread.join(5)
  assert order == [9, 1]
