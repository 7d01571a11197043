"""Parse the text of command-line options."""

from __future__ import annotations

from monai_lesion.errors import InputError


def listed(text: str) -> list[str]:
    """Split a text at its commas; drop blanks and empty parts.

    Example:
        >>> listed("png, json,")
        ['png', 'json']
    """
    return [part.strip() for part in text.split(",") if part.strip()]


def numbers(name: str, text: str) -> list[float]:
    """Read the numbers of a text that commas separate.

    Args:
        name: the option, for the error message.
        text: such as ``"0.6,0.2,0.2"``.

    Raises:
        InputError: when a part is not a number.
    """
    try:
        return [float(part) for part in listed(text)]
    except ValueError as error:
        raise InputError(name, "must be numbers separated by commas", got=text) from error
