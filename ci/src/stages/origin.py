"""Who is asked: scheme, host and port, and the rules that follow from them."""

from dataclasses import dataclass
from ipaddress import ip_address
from urllib.parse import urlsplit

DEFAULT_PORTS = {"https": 443, "http": 80}
# What httpx asks past any proxy.
DIRECT = ("all://localhost", "all://*.localhost", "all://127.0.0.1", "all://[::1]")


@dataclass(frozen=True)
class Origin:
    """The part of an address that decides who may see a credential.

    See https://www.rfc-editor.org/rfc/rfc6454#section-4
    """

    scheme: str
    host: str
    port: int

    @classmethod
    def of(cls, address: str) -> "Origin":
        """Read the origin of an absolute http or https address.

        Raises:
            ValueError: The address has another scheme, no host, or a user name in it. The
                message does not repeat the address, which may be signed.
        """
        parts = urlsplit(address)
        if parts.scheme not in DEFAULT_PORTS or not parts.hostname:
            raise ValueError("not an http or https address with a host")
        if parts.username is not None or parts.password is not None:
            raise ValueError("the address holds a user name or password")
        port = DEFAULT_PORTS[parts.scheme] if parts.port is None else parts.port
        return cls(parts.scheme, parts.hostname.lower(), port)

    @property
    def is_loopback(self) -> bool:
        """Whether the host is this machine by its very name, with no look-up."""
        if self.host == "localhost" or self.host.endswith(".localhost"):
            return True
        try:
            return ip_address(self.host).is_loopback
        except ValueError:
            return False

    @property
    def keeps_secrets(self) -> bool:
        """Whether a credential may travel there: by https, or without leaving this machine."""
        return self.scheme == "https" or self.is_loopback

    def __str__(self) -> str:
        """Write the origin as a user would, without a default port."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        port = "" if self.port == DEFAULT_PORTS[self.scheme] else f":{self.port}"
        return f"{self.scheme}://{host}{port}"
