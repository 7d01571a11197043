"""Log in to an archive: secrets come from the environment or a file, never from a command line, and are not logged."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from monai_lesion.errors import InputError
from monai_lesion.files import read_object

if TYPE_CHECKING:
    import requests

VARIABLES = {
    "user": "MONAI_LESION_PACS_USER",
    "password": "MONAI_LESION_PACS_PASSWORD",
    "token": "MONAI_LESION_PACS_TOKEN",
}


@dataclass(frozen=True)
class Credentials:
    """What an archive needs to let you in.

    Args:
        user: for basic authentication, with ``password``.
        password: password of the user.
        token: bearer token, instead of user and password.
        ca_file: certificates (PEM) that the archive's is checked against; None for the usual authorities.
        client_cert: your client certificate (PEM), if the archive asks for one.
        client_key: its private key (PEM, without a passphrase), unless it is in the same file.

    Raises:
        InputError: for a user without password or the reverse, a token in addition to them, or a missing file.

    Example:
        >>> Credentials("anna", "secret")
        Credentials(user='anna', ca_file=None, client_cert=None, client_key=None)
    """

    user: str | None = None
    password: str | None = field(default=None, repr=False)
    token: str | None = field(default=None, repr=False)
    ca_file: Path | None = None
    client_cert: Path | None = None
    client_key: Path | None = None

    def __post_init__(self) -> None:
        if (self.user is None) != (self.password is None):
            fix = f"Set {VARIABLES['user']} and {VARIABLES['password']}"
            raise InputError("credentials", "must contain user and password, or neither", got="one of them", fix=fix)
        if self.token is not None and self.user is not None:
            raise InputError("credentials", "must contain a token, or user and password, but not both", got="both")
        if self.client_key is not None and self.client_cert is None:
            raise InputError("client key", "must come with a client certificate", got="a key alone")
        if any(mark in (self.token or "") for mark in "\r\n"):
            raise InputError("token", "must be one line")
        for name in ("ca_file", "client_cert", "client_key"):
            file = getattr(self, name)
            if file is not None and not Path(file).is_file():
                raise InputError(name.replace("_", " "), "must be an existing file", got=file)

    @property
    def secret(self) -> bool:
        """Whether there is a password or token to send."""
        return self.user is not None or self.token is not None

    def session(self) -> requests.Session:
        """Make an HTTP session that sends them."""
        import requests

        class Session(requests.Session):
            # REQUESTS_CA_BUNDLE would win over `verify` of a session; what was asked for by name shall win.
            def merge_environment_settings(self, url: Any, proxies: Any, stream: Any, verify: Any, cert: Any) -> Any:
                verify = self.verify if verify is None else verify
                return super().merge_environment_settings(url, proxies, stream, verify, cert)

        class Bearer(requests.auth.AuthBase):
            def __init__(self, token: str) -> None:
                self.token = token

            def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
                request.headers["Authorization"] = f"Bearer {self.token}"
                return request

        session = Session()
        if self.token is not None:
            session.auth = Bearer(self.token)  # as a header, ~/.netrc would replace it
        elif self.user is not None and self.password is not None:
            # As bytes in UTF-8 (RFC 7617): of a text, requests takes Latin-1 alone.
            session.auth = (self.user.encode(), self.password.encode())  # type: ignore[assignment]
        if self.ca_file is not None:
            session.verify = str(self.ca_file)
        if self.client_cert is not None:
            key = self.client_key
            session.cert = str(self.client_cert) if key is None else (str(self.client_cert), str(key))
        return session


def find_credentials(
    file: str | Path | None = None, *, environment: Mapping[str, str] | None = None, **files: Path | None
) -> Credentials:
    """Read the secrets from a file, otherwise from the environment.

    Args:
        file: JSON with ``user`` and ``password``, or ``token``; only its owner may read it.
        environment: None for the process's own: ``MONAI_LESION_PACS_USER``, ``_PASSWORD``, ``_TOKEN``.
        files: ``ca_file``, ``client_cert``, ``client_key`` of :class:`Credentials`.

    Raises:
        InputError: when the file is missing, readable by others, or has other content.

    Example:
        >>> find_credentials(environment={"MONAI_LESION_PACS_TOKEN": "abc"}).secret
        True
    """
    if file is None:
        variables = os.environ if environment is None else environment
        found = {key: variables[name] for key, name in VARIABLES.items() if variables.get(name)}
    else:
        found = _read(Path(file))
    return Credentials(**found, **files)  # type: ignore[arg-type]


def _read(file: Path) -> dict[str, str]:
    if not file.is_file():
        raise InputError(file, "must be an existing file", got="no such file")
    if os.name == "posix" and file.stat().st_mode & 0o077:
        fix = f"Run: chmod 600 {file}"
        raise InputError(file, "must be readable by its owner alone", got=oct(file.stat().st_mode & 0o777), fix=fix)
    rule = f"must be a JSON object of the texts {', '.join(VARIABLES)}"
    content = read_object(file, rule, got="something else")
    if not all(isinstance(value, str) for value in content.values()):
        raise InputError(file, rule, got="something else")
    if unknown := sorted(set(content) - set(VARIABLES)):
        raise InputError(file, rule, got=", ".join(unknown))
    return content
