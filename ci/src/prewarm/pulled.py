"""Images from elsewhere, pulled by the engine itself."""

import dagger

from prewarm.given import REGISTRY, Given


def pulled(container: dagger.Container, address: str, given: Given) -> dagger.Container:
    """Make a container an image's; one in the local registry is reached through its service."""
    host = address.partition("/")[0].partition(":")[0]
    service = given.registry_service if host == REGISTRY else None
    return container.from_(address, registry_service=service)
