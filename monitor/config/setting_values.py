"""The kinds of values that settings have, each with what is said of a wrong one."""

from __future__ import annotations

import re
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Annotated, Final, Literal

from pydantic import AfterValidator, BeforeValidator
from pydantic_core import PydanticCustomError

from monitor.config.masking import parsed_url
from monitor.config.pager_names import PagerName

_SERVER: Final = re.compile(r"(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9_.-]+):([0-9]{1,5})")
_KAFKA_NAME: Final = re.compile(r"[A-Za-z0-9._-]{1,249}")  # what Kafka allows in topic and group names
_TRUTHS: Final = {"true": True, "1": True, "yes": True, "on": True} | {
    "false": False, "0": False, "no": False, "off": False, "": False,
}  # fmt: skip


def refuse(message: str) -> PydanticCustomError:
    """Return the error of a setting's value, in our words."""
    return PydanticCustomError("setting", "{message}", {"message": message})


def _servers(value: str) -> str:
    for server in value.split(","):
        found = _SERVER.fullmatch(server.strip())
        if not found or not 0 < int(found[2]) <= 65_535:
            raise refuse("write host:port, several with commas between, such as 127.0.0.1:9092")
    return ",".join(server.strip() for server in value.split(","))


def _kafka_name(value: str) -> str:
    if not _KAFKA_NAME.fullmatch(value) or value in (".", ".."):
        raise refuse('use 1 to 249 of the characters A-Z, a-z, 0-9, ".", "_" and "-"')
    return value


def listed(value: object) -> object:
    """Split what an environment variable holds; a file gives a list already."""
    return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value


def http_url(value: str) -> str:
    """Return a URL as it is, or refuse it."""
    if parsed_url(value, ("http", "https")) is None:
        raise refuse("write a URL that begins with http:// or https:// and names a host")
    return value


def _private(value: object) -> object:
    """Read `true`, `false`, or networks with commas between."""
    if isinstance(value, str) and value.strip().lower() in _TRUTHS:
        return _TRUTHS[value.strip().lower()]
    parts = listed(value)
    if not isinstance(parts, list):
        return value
    try:
        return tuple(ip_network(str(part)) for part in parts)
    except ValueError as error:
        raise refuse("write true, false, or networks such as 10.2.0.0/16,192.168.7.9") from error


Servers = Annotated[str, AfterValidator(_servers)]
KafkaName = Annotated[str, AfterValidator(_kafka_name)]
Url = Annotated[str, AfterValidator(http_url)]
Listed = Annotated[list[str], BeforeValidator(listed)]
Urls = Annotated[list[Url], BeforeValidator(listed)]
Pagers = Annotated[list[PagerName], BeforeValidator(listed)]
QuietPagers = Annotated[  # Alertmanager routes by itself
    list[Literal["apprise", "pagerduty", "slack", "webhook"]], BeforeValidator(listed)
]
Networks = Annotated[bool | tuple[IPv4Network | IPv6Network, ...], BeforeValidator(_private)]
