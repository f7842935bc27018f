import numpy as np
import pytest

from pretrainjax.generation.backoff import Backoff

# a: .5, b: .25; after a, b: .75; after a b, a: .125. The logarithms are of base e.
LOG = np.log
FOLLOWING = {
  (): {0: LOG(0.01), 1: LOG(0.04), 2: LOG(0.2), 3: LOG(0.5), 4: LOG(0.25)},
  (3,): {4: LOG(0.75)},
  (3, 4): {3: LOG(0.125)},
}
MODEL = Backoff(("<s>", "</s>", "<unk>", "a", "b"), FOLLOWING, {(3,): LOG(0.5), (3, 4): LOG(0.9)})


@pytest.mark.parametrize(
  ("context", "word", "expected"),
  [
    ((), "a", 0.5),
    ((), "newt", 0.2),  # <unk>
    ((3,), "b", 0.75),
    ((3,), "a", 0.5 * 0.5),
    ((4,), "b", 0.25),  # b has no weight of its own
    ((3, 4), "a", 0.125),
    ((3, 4), "b", 0.9 * 0.25),
    ((4, 3, 4), "a", 0.125),  # more than the order
    ((4, 3), "b", 0.75),
  ],
)
def test_what_is_not_listed_backs_off(context, word, expected):
  number = MODEL.find(word)
  assert np.exp(MODEL.log_prob(context, number)) == pytest.approx(expected)
  assert np.exp(MODEL.log_probs(context)[number]) == pytest.approx(expected, rel=1e-6)


def test_contexts_are_as_long_as_they_matter():
  assert MODEL.order == 3 and MODEL.start == ()  # nothing is listed behind <s>
  assert MODEL.after((4, 3), 4) == (3, 4)
  assert MODEL.after((3, 4), 4) == ()
  assert MODEL.after((3, 4), 3) == (3,)


def test_a_model_without_unknown_words_never_gives_one():
  model = Backoff(("a",), {(): {0: 0.0}}, {})
  assert model.find("b") == -1
  assert model.log_prob((), -1) == pytest.approx(-100 * LOG(10))
