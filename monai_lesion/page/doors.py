"""Who may knock at one of our HTTP servers: sockets, local addresses, tokens."""

from __future__ import annotations

import hmac
import ipaddress
import socket

from monai_lesion.errors import InputError

LEAST = 16  # characters of a token


def is_local(host: str) -> bool:
    """Whether an address is this computer's own.

    Example:
        >>> is_local("127.0.0.1"), is_local("localhost"), is_local("0.0.0.0")
        (True, True, False)
    """
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def check_token(token: str | None, host: str, *, where: str, name: str) -> None:
    """Hold a token to its rules: long enough, and there where others can reach the server.

    Args:
        token: None for none.
        host: address to listen on.
        where: what names the address, for the message.
        name: what names the token.

    Raises:
        InputError: otherwise.
    """
    if not is_local(host) and token is None:
        fix = f"Set {name} to a secret of at least {LEAST} characters"
        raise InputError(where, "needs a token, for others can reach it", got=host, fix=fix)
    if token is not None and len(token) < LEAST:
        raise InputError(name, f"must have at least {LEAST} characters", got=len(token))


def brings_token(authorization: str | None, token: str) -> bool:
    """Whether a header ``Authorization: Bearer ...`` brings the token."""
    given = (authorization or "").removeprefix("Bearer ")
    return hmac.compare_digest(given.encode(), token.encode())


def bound_socket(host: str, port: int, *, where: str, fix: str) -> socket.socket:
    """A socket that is bound and does not listen yet.

    Raises:
        InputError: when the address cannot be had.
    """
    bound = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        bound.bind((host, port))
    except OSError as error:
        bound.close()
        raise InputError(where, f"{host}:{port} must be free", got=error.strerror or str(error), fix=fix) from error
    return bound
