"""What a registry wants to be shown before it answers.

See https://www.rfc-editor.org/rfc/rfc9110#section-11.6.1
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass

_SCHEME = re.compile(r"(?:^|,)\s*(Bearer|Basic)(?=\s|,|$)", re.IGNORECASE)
_PARAMETER = re.compile(r'([A-Za-z_]+)="([^"]*)"')
BASIC, BEARER = "basic", "bearer"


@dataclass(frozen=True, kw_only=True)
class Challenge:
    """One way to show who asks.

    Attributes:
        realm: Of a bearer: the address of the service that gives tokens; empty where none is named.
        service: What that service calls the registry.
    """

    scheme: str
    realm: str = ""
    service: str = ""


def parse(headers: Iterable[str]) -> Challenge | None:
    """Choose among what WWW-Authenticate offers: a token before a password; None knows neither."""
    found: dict[str, Challenge] = {}
    for header in headers:
        marks = list(_SCHEME.finditer(header))
        for number, mark in enumerate(marks):
            end = marks[number + 1].start() if number + 1 < len(marks) else len(header)
            said = {
                name.lower(): text for name, text in _PARAMETER.findall(header[mark.end() : end])
            }
            scheme = mark[1].lower()
            found.setdefault(
                scheme,
                Challenge(
                    scheme=scheme, realm=said.get("realm", ""), service=said.get("service", "")
                ),
            )
    return found.get(BEARER) or found.get(BASIC)
