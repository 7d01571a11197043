"""The errors a user can cause, and the one shape their messages have."""

from __future__ import annotations


class InputError(ValueError):
    """Input that breaks a rule.

    Args:
        where: the file, entry or argument at fault; alone, the whole message.
        rule: what is asked of it.
        got: what was found.
        fix: what to do about it.

    Example:
        >>> raise InputError("group_size", "must divide the channel count 64", got=3, fix="Use 1, 2, 4 ... 64.")
        Traceback (most recent call last):
        monai_lesion.errors.InputError: group_size: must divide the channel count 64, got 3. Use 1, 2, 4 ... 64.
    """

    def __init__(self, where: object, rule: str = "", *, got: object = None, fix: str = "") -> None:
        message = f"{where}: {rule}" if rule else str(where)
        if got is not None:
            message += f", got {got}"
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
