"""Where an endpoint is, and whether it may be spoken to.

Only hosts that the settings allow: the address is resolved here, checked, and the connection goes
to the very address that was checked.
"""

import ipaddress
import socket
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from app.config import settings
from app.errors import AppError, Invalid


class Unusable(AppError):
    """The endpoint as a whole does not work: no further prompt needs to be tried."""

    status = 502
    title = "The endpoint does not answer"


@dataclass(frozen=True)
class Address:
    """Where the connection goes, and what it is called."""

    scheme: str
    host: str
    port: int
    path: str
    ip: str = field(default="", compare=False)

    @property
    def netloc(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"


def allowed() -> list[str]:
    """The `host:port` pairs of the settings."""
    return [each.strip().lower() for each in settings.endpoints.split(",") if each.strip()]


def address_of(base_url: str) -> Address:
    """The parts of an address that the settings allow; `Invalid` says what is wrong with it."""
    try:
        parts = urlsplit(base_url.strip())
        port = parts.port or {"https": 443, "http": 80}.get(parts.scheme, 0)
    except ValueError:
        raise Invalid(f"“{base_url}” is no web address.") from None
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise Invalid("The address begins with http:// or https://, such as http://gpu-1:8000/v1.")
    if parts.username or parts.password or parts.query or parts.fragment:
        raise Invalid(
            "The address is host, port and path alone: no user, password, query or fragment. "
            "A key is named in its own field."
        )
    address = Address(parts.scheme, parts.hostname.lower(), port, parts.path.rstrip("/"))
    if address.netloc not in allowed():
        known = ", ".join(allowed()) or "nothing so far"
        raise Invalid(
            f"{address.netloc} is not on the list of model servers that Touchstone may speak to "
            f"({known}). Whoever runs this installation adds it to TOUCHSTONE_ENDPOINTS and "
            "starts Touchstone again."
        )
    return address


def is_refused(host: str, ip: str) -> bool:
    """Whether an allowed name must not lead to this address.

    Link-local addresses hold the secrets of clouds; this machine is reached under its own name
    alone, so that a name elsewhere cannot be turned round to it. Private networks are where model
    servers stand.
    """
    found = ipaddress.ip_address(ip.split("%", maxsplit=1)[0])
    found = getattr(found, "ipv4_mapped", None) or found
    if found.is_link_local or found.is_multicast or found.is_unspecified:
        return True
    if found.is_reserved and not found.is_loopback:
        return True
    is_own_name = host == "localhost" or host.endswith(".localhost") or _is_ip(host)
    return found.is_loopback and not is_own_name


def resolved(address: Address) -> Address:
    """The same with the number that the name has now, once it has been looked at."""
    try:
        found = socket.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM)
    except OSError:
        raise Unusable(
            f"There is no machine called {address.host}. Look at the spelling, or at the name "
            "server of the machine on which the worker runs."
        ) from None
    numbers = [str(each[4][0]) for each in found]
    if not numbers or any(is_refused(address.host, number) for number in numbers):
        raise Unusable(
            f"{address.host} leads to an address that Touchstone does not speak to (this machine "
            "under another name, or one that is set aside)."
        )
    return Address(address.scheme, address.host, address.port, address.path, numbers[0])


def _is_ip(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
