"""smoke-test: an image -> a report of what was tried, and what was not."""

import dagger
from dagger import dag

from prewarm import image, tool
from prewarm.given import LAYOUT, LOCK, SMOKE, TREE, WEIGHTS, Given
from prewarm.level import Level
from prewarm.parts import Parts
from prewarm.pulled import pulled


async def test(
    given: Given, parts: Parts, level: Level, *, layout: dagger.Directory
) -> dagger.File:
    """Try an image, each time anew.

    Args:
        given: The constructor's arguments.
        parts: What the image is made of.
        level: How much to try.
        layout: The thin image, which the report names.

    Raises:
        FunctionError: A check failed, or the server did not become warm.
    """
    static = level is Level.STATIC
    container = _reader(given, parts) if static else _server(given, parts, level)
    container = container.with_mounted_directory(LAYOUT, layout, read_only=True)
    words = f"smoke --level {level.value} --image {LAYOUT} --lock {LOCK} --out {SMOKE}".split()
    words += ["--weights", WEIGHTS] if static else ["--serve", TREE, "--python", "python3"]
    # Only who has root's capabilities can make a network that leads nowhere: Dagger has no switch.
    done = tool.stage(tool.again(container), *words, unconfined=not static)
    return (await tool.finished(done, f"smoke test, level {level.value}")).file(SMOKE)


def _reader(given: Given, parts: Parts) -> dagger.Container:
    container = tool.reading(tool.container(given), given)
    return container.with_mounted_directory(WEIGHTS, parts.weights, read_only=True)


def _server(given: Given, parts: Parts, level: Level) -> dagger.Container:
    """Give what server and client run in, the one started by the other and as the image's user."""
    on = pulled(dag.container(), given.cpu_base, given)
    if level is Level.GPU:
        on = image.base(given, parts.lock).experimental_with_all_gp_us()
    container = tool.ready(on, given).with_user("0:0")
    return container.with_mounted_directory(TREE, parts.tree, read_only=True)
