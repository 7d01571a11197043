"""What the text of a command-line option stands for."""

from __future__ import annotations

from monai_lesion.errors import InputError


def listed(text: str) -> list[str]:
    """The parts of a text that commas separate, without blanks and empty ones.

    Example:
        >>> listed("png, json,")
        ['png', 'json']
    """
    return [part.strip() for part in text.split(",") if part.strip()]


def numbers(name: str, text: str) -> list[float]:
    """The numbers of a text that commas separate.

    Args:
        name: of the option, for the message.
        text: such as ``"0.6,0.2,0.2"``.

    Raises:
        InputError: for a part that is no number.
    """
    try:
        return [float(part) for part in listed(text)]
    except ValueError as error:
        raise InputError(name, "must be numbers separated by commas", got=text) from error
