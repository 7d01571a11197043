"""Ray on this machine or elsewhere: started, or connected to, with its usage statistics and its dashboard off."""

from __future__ import annotations

import logging
import os
import socket
from typing import Any
from urllib.parse import urlsplit

from monai_lesion.errors import InputError
from monai_lesion.machine.loggers import no_less_than

CONNECT_SECONDS = 5.0
START_ATTEMPTS = 5
STORE_BYTES = 100 * 2**20  # of objects that Ray keeps in shared memory; ours are small


def start_ray(where: str, extra: str, address: str | None, *, cpus: int, store_bytes: int = STORE_BYTES) -> Any:
    """Connect to a Ray, or start one here; its parts wait only seconds for each other, too short on a busy machine.

    Args:
        where: the option that asks for Ray, for messages.
        extra: the extra of this package that brings it.
        address: ``host:port``, ``ray://host:port`` or ``auto``; None starts one here.
        cpus: cores of a Ray that is started here.
        store_bytes: bounds the shared memory of a Ray that is started here.

    Returns:
        The package ``ray``, connected.

    Raises:
        InputError: when Ray is not installed, or does not start or answer.
    """
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"  # read when Ray is imported and when its processes start
    try:
        import ray
    except ImportError as error:
        raise InputError(where, "needs Ray", fix=f"pip install 'monai-lesion[{extra}]'") from error
    options: dict[str, Any] = {"address": address}
    if address is None:
        options = {"address": "local", "num_cpus": cpus, "object_store_memory": store_bytes, "include_dashboard": False}
    else:
        check_address(address)
    attempts = START_ATTEMPTS if address is None else 1
    for attempt in range(attempts):
        try:
            with no_less_than(logging.ERROR, "ray"):  # it warns that nobody else may use what it starts
                ray.init(log_to_driver=False, configure_logging=False, **options)
            break
        except Exception as error:  # of many kinds
            ray.shutdown()
            if attempt + 1 < attempts:
                continue
            reason = str(error).splitlines()[0]
            raise InputError(
                where if address is None else f"--address {address}", "Ray must start or answer", got=reason
            ) from error
    return ray


def check_address(address: str) -> None:
    """Check that something answers at an address, because Ray itself tries for minutes.

    Args:
        address: ``host:port``, ``ray://host:port``, or ``auto`` for the Ray of this machine.

    Raises:
        InputError: when the address has no port, or nothing answers within five seconds.
    """
    if address in ("auto", "local"):
        return
    parts = urlsplit(address if "//" in address else f"//{address}")
    try:
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise InputError(f"--address {address}", "must be host:port", got=error) from error
    if not host or not port:
        raise InputError(f"--address {address}", "must be host:port, ray://host:port or auto", got="no port")
    try:
        socket.create_connection((host, port), timeout=CONNECT_SECONDS).close()
    except OSError as error:
        fix = "Start Ray there (ray start --head), or leave --address out"
        raise InputError(f"--address {address}", "must answer", got=error, fix=fix) from error
