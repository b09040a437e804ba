"""Where webhooks may connect to: every address is judged before, and only a judged one is used.

A URL comes from the operator's settings, never from an event. Still, a name is resolved here, every
address it has is judged, and the connection goes to the very address that was judged (no second look-up that
could answer differently). Link-local, metadata, multicast and unspecified addresses are always refused; private
and loopback ones unless the operator allows them, all or by network; `http://` is only for those. Redirects are not
followed and proxies of the environment are not used.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import ssl
from collections.abc import Awaitable, Callable, Sequence

import httpx

from monitor.core.errors import MonitorError

IPAddress = ipaddress.IPv4Address | ipaddress.IPv6Address
IPNetwork = ipaddress.IPv4Network | ipaddress.IPv6Network
Private = bool | Sequence[IPNetwork]
"""Which private and loopback addresses may be called: all, none, or those in these networks."""

_NEVER = tuple(  # what no webhook lives at, and where clouds keep their credentials
    ipaddress.ip_network(network)
    for network in (
        "0.0.0.0/8",
        "169.254.0.0/16",
        "100.100.100.200/32",
        "168.63.129.16/32",  # a public address, and yet the host's own
        "192.0.0.192/32",
        "fe80::/10",
        "fd00:ec2::/32",
        "fd20:ce::254/128",
        "::/128",
    )
)
_NAT64 = ipaddress.ip_network("64:ff9b::/96")


class WebhookUnusable(MonitorError):
    """A webhook's URL or secret can never work; the message says what is wrong with it."""


Resolve = Callable[[str, int], Awaitable[Sequence[str]]]


async def resolve(host: str, port: int) -> Sequence[str]:
    """Return the addresses of a host name, in the system's order of preference."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


def _embedded(address: IPAddress) -> IPAddress:
    """Return the IPv4 address that an IPv6 address leads to, else the address itself."""
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is not None:
            return address.ipv4_mapped
        if address.sixtofour is not None:
            return address.sixtofour
        if address in _NAT64:
            return ipaddress.IPv4Address(int(address) & 0xFFFF_FFFF)
    return address


def _is_allowed(ip: IPAddress, allowed: Private) -> bool:
    if isinstance(allowed, bool):
        return allowed
    return any(ip.version == network.version and ip in network for network in allowed)


def refusal(address: str, *, allow_private: Private, encrypted: bool) -> str | None:
    """Return why a webhook must not be sent to this address, or None where it may."""
    ip = _embedded(ipaddress.ip_address(address.partition("%")[0]))
    if ip.is_multicast or any(ip.version == network.version and ip in network for network in _NEVER):
        return f"{ip} is a link-local, metadata, multicast or unspecified address: never a webhook's"
    if not ip.is_global and not _is_allowed(ip, allow_private):
        return f"{ip} is a private or loopback address; allow private webhook addresses in the settings if it is meant"
    if ip.is_global and not encrypted:
        return f"{ip} is a public address and the URL is http://; use https://"
    return None


class JudgedTransport(httpx.AsyncBaseTransport):
    """Resolves, judges every address, and connects to a judged one; TLS still verifies the URL's host name."""

    def __init__(
        self, *, allow_private: Private, resolver: Resolve = resolve, context: ssl.SSLContext | None = None
    ) -> None:
        """Open nothing yet.

        Args:
            context: Whom TLS trusts; by default the certificate authorities that come with the client.
        """
        self._inner = httpx.AsyncHTTPTransport(retries=0, verify=context or True)
        self._allow_private, self._resolver = allow_private, resolver

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send the request to a judged address.

        Raises:
            WebhookUnusable: An address of the host is refused.
            httpx.ConnectError: The host has no address.
        """
        url = request.url
        encrypted = url.scheme == "https"
        try:
            addresses = await self._resolver(url.host, url.port or (443 if encrypted else 80))
        except OSError as error:
            raise httpx.ConnectError(f"cannot resolve {url.host}: {error}", request=request) from error
        if not addresses:
            raise httpx.ConnectError(f"{url.host} has no address", request=request)
        for address in addresses:
            if why := refusal(address, allow_private=self._allow_private, encrypted=encrypted):
                raise WebhookUnusable(f"{place(url)}: {why}")
        request.extensions = {**request.extensions, "sni_hostname": url.host}
        request.url = url.copy_with(host=addresses[0].partition("%")[0])
        return await self._inner.handle_async_request(request)

    async def aclose(self) -> None:
        """Close the connections."""
        await self._inner.aclose()


def place(url: httpx.URL) -> str:
    """Return scheme, host and port: paths and queries of webhooks often carry a secret, so no message shows them."""
    return f"{url.scheme}://{url.host}" + (f":{url.port}" if url.port else "")
