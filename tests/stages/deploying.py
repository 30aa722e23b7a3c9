"""What is deployed in tests, and its one container."""

from typing import Any

from stages.reference import parse

DIGEST = f"sha256:{'a' * 64}"
ACCOUNT = "server@acme.iam.gserviceaccount.com"
IMAGE = parse(f"us-docker.pkg.dev/acme/repo/gemma:v1@{DIGEST}")


def container(made: dict[str, Any]) -> dict[str, Any]:
    """Give the manifest's one container."""
    (only,) = made["spec"]["template"]["spec"]["containers"]
    found: dict[str, Any] = only
    return found
