"""The forms that a config file comes in, FILE:form."""

from pretrainjax.errors import UserError, nearest


def form(arg: str | None, *forms: str | None) -> str | None:
  """Returns `arg`, which is None or one of `forms`: a misspelt "smoke" must not train for days.

  Raises:
    UserError: for any other.
  """
  if arg is not None and arg not in forms:
    raise UserError(f"--config: found the form ':{arg}'{nearest(arg, filter(None, forms))}")
  return arg
