"""Answers to a client whose input is wrong."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from fastapi import HTTPException
from monailabel.interfaces.exception import ImageNotFoundException, LabelNotFoundException, MONAILabelException
from requests import RequestException

from monai_lesion.errors import CheckpointError, InputError


@contextmanager
def refusals() -> Iterator[None]:
    """Answer an input error with its text: 422; 404 for what does not exist, 500 for weights, 502 for the archive.

    MONAI Label leaves errors to the web framework, which only answers "Internal Server Error".
    """
    try:
        yield
    except CheckpointError as error:
        raise HTTPException(500, str(error)) from error
    except InputError as error:
        raise HTTPException(422, str(error)) from error
    except (ImageNotFoundException, LabelNotFoundException) as error:
        raise HTTPException(404, str(error.msg)) from error
    except RequestException as error:
        raise HTTPException(502, f"the archive: {error}") from error
    except MONAILabelException as error:
        raise HTTPException(400, str(error.msg)) from error
