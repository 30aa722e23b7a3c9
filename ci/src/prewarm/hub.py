"""How a container reaches the Hub."""

import dagger

from prewarm import tool
from prewarm.given import HUB_HOST, Given


def reaching(
    container: dagger.Container, given: Given, token: dagger.Secret | None
) -> dagger.Container:
    """Add the Hub's address, and the token, which only the program itself ever sees."""
    container = tool.reaching(container, given.hub_service, HUB_HOST)
    container = container.with_env_variable("HF_ENDPOINT", given.hub)
    return container.with_secret_variable("HF_TOKEN", token) if token else container
