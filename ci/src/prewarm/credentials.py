"""Who asks a registry: a name and a password, for one program alone."""

import dagger


def added(
    container: dagger.Container, prefix: str, username: str, password: dagger.Secret | None
) -> dagger.Container:
    """Add them to a container's environment as PREFIX_USERNAME and PREFIX_PASSWORD.

    Without a password the registry is asked as anybody.
    """
    if password is None:
        return container
    named = container.with_env_variable(f"{prefix}_USERNAME", username)
    return named.with_secret_variable(f"{prefix}_PASSWORD", password)
