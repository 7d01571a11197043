"""Errors that a user can cause, with messages of one form."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from types import TracebackType


def printable(text: object) -> str:
    r"""Escape what would move the cursor, colour a terminal or begin a line: names and headers are others' words.

    Example:
        >>> print(printable("scan\x1b[2J\n.png"))
        scan\x1b[2J\n.png
    """
    shown = str(text)
    if shown.isprintable():
        return shown
    return "".join(sign if sign.isprintable() else ascii(sign)[1:-1] for sign in shown)


class InputError(ValueError):
    """Input that breaks a rule.

    What stands in ``where`` and ``got`` is escaped by :func:`printable`.

    Args:
        where: the file, entry or argument at fault; without a rule, the whole message.
        rule: the rule it breaks.
        got: what was found instead.
        fix: how to correct it.

    Example:
        >>> raise InputError("group_size", "must divide the channel count 64", got=3, fix="Use 1, 2, 4 ... 64.")
        Traceback (most recent call last):
        monai_lesion.errors.InputError: group_size: must divide the channel count 64, got 3. Use 1, 2, 4 ... 64.
    """

    def __init__(self, where: object, rule: str = "", *, got: object = None, fix: str = "") -> None:
        message = f"{printable(where)}: {rule}" if rule else str(where)
        if got is not None:
            message += f", got {printable(got)}"
        if fix:
            message += f". {fix}"
        # One argument only, so that the error survives pickling out of a loader worker.
        super().__init__(message)


class ImageError(InputError):
    """An image or mask file that cannot be read."""


class ManifestError(InputError):
    """A manifest, or a file named in it, that breaks a rule."""


class CheckpointError(InputError):
    """Weights that cannot be loaded, or belong to another network."""


SHOWN = 10  # names that a message lists


def listing(names: Sequence[str]) -> str:
    """The first names, and how many more there are.

    Example:
        >>> listing([str(number) for number in range(12)])
        '0, 1, 2, 3, 4, 5, 6, 7, 8, 9 and 2 more'
    """
    return ", ".join(names[:SHOWN]) + (f" and {len(names) - SHOWN} more" if len(names) > SHOWN else "")


def flag(name: str, value: bool | str) -> bool:
    """Read a yes-or-no value of a bundle config; the command line passes ``--resume false`` as text.

    Raises:
        InputError: for anything other than true and false.

    Example:
        >>> flag("resume", "false"), flag("resume", True)
        (False, True)
    """
    known = {"true": True, "false": False}
    if str(value).lower() not in known:
        raise InputError(f"--{name}", "must be true or false", got=repr(value))
    return known[str(value).lower()]


def root_cause(error: BaseException) -> BaseException:
    """Find the input error that an error was raised from, or else the first error of its chain."""
    cause = error
    while not isinstance(cause, InputError):
        earlier = cause.__cause__ or cause.__context__
        if earlier is None:
            break
        cause = earlier
    return cause


def explain_input_errors() -> None:
    """Make an uncaught traceback end with the error that caused it, for bundle configs.

    MONAI wraps errors inside a config in "Failed to instantiate component", so that the last line, where you look
    first, does not say why.
    """
    show = sys.excepthook
    if show.__module__ == __name__:  # a workflow may be initialised twice
        return

    def hook(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        show(kind, error, trace)
        cause = root_cause(error)
        if cause is not error:
            sys.stderr.write(f"\nThe reason: {cause}\n")

    sys.excepthook = hook
