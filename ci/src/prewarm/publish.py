"""publish: an image that has passed -> its name by digest, moving only what the registry lacks."""

from collections.abc import Sequence
from dataclasses import dataclass

import dagger
from dagger import dag

from prewarm import credentials, download, hub, layout, lock, parts, provenance, scan, smoke, tool
from prewarm.errors import FunctionError
from prewarm.given import (
    COMPILE_CACHE,
    LAYOUT,
    LOCK,
    RUNTIME,
    SCAN,
    SMOKE,
    WEIGHTS,
    Given,
)
from prewarm.level import Level
from stages import arguments
from stages.errors import UsageError

WORK = "/work"


@dataclass(frozen=True, kw_only=True)
class Publishing:
    """One call of publish.

    Attributes:
        addresses: HOST/REPOSITORY:TAG, all of one repository.
        report: A smoke test's, made elsewhere; None makes one here.
        token: The Hub's; None asks as anybody.
        weights: The model's files where they are at hand; None asks the Hub, if need be.
        username: Who pushes; as anybody where `password` is None.
    """

    addresses: Sequence[str]
    level: Level
    report: dagger.File | None
    token: dagger.Secret | None
    weights: dagger.Directory | None
    username: str
    password: dagger.Secret | None


async def publish(given: Given, asked: Publishing) -> str:
    """Test and scan an image, push it, and give a name by digest for each address, one a line.

    Raises:
        FunctionError: A step failed, and no address has got an image.
    """
    _check(asked)
    if asked.level is Level.GPU:
        raise FunctionError(
            "publish --level gpu would run the base, which publish never fetches. Run "
            "smoke-test --level gpu on an engine that has a GPU, and give its report: --report"
        )
    if asked.level is Level.STATIC and asked.report is None:
        return await _whole(given, asked)
    made = await parts.ready(given, token=asked.token, weights=asked.weights)
    thin = await layout.make(given, made.tree, known=False)
    report = asked.report or await smoke.test(given, made, asked.level, layout=thin)
    clean = await scan.scan(given, thin, token=asked.token)
    return await _push(given, asked, thin, report=report, clean=clean)


def _check(asked: Publishing) -> None:
    """Refuse addresses before anything is fetched, by the very parser that would refuse them.

    Raises:
        FunctionError: Lists every problem.
    """
    try:
        arguments.parse(["push", LAYOUT, *asked.addresses, "--report", SMOKE, "--scan", SCAN])
    except UsageError as error:
        raise FunctionError(f"publishing: {error}") from None


async def _whole(given: Given, asked: Publishing) -> str:
    """Let one program do all at level static, the registry being asked first.

    What is mounted is fetched before a program runs; so only the program itself can find out that
    every weight layer lies in the registry, and fetch nothing.
    """
    commit = (await lock.read(given)).model.commit
    container = tool.reading(tool.container(given), given)
    container = download.with_cache(hub.reaching(container, given, asked.token))
    # A volume, since every run would leave its gigabytes in the engine otherwise; one for each
    # commit, since the weights stay there.
    volume = dag.cache_volume(f"prewarm-work-{commit}")
    container = container.with_mounted_cache(WORK, volume, sharing=download.LOCKED)
    words = ["build", *asked.addresses, "--lock", LOCK, "--runtime", RUNTIME, "--level", "static"]
    words += ["--cache", download.CACHE, "--work", WORK, "--progress", "plain"]
    words += [*layout.base(given), *provenance.words(given)]
    container = container.with_mounted_directory(RUNTIME, given.runtime, read_only=True)
    for option, folder, path in (
        ("--weights", asked.weights, WEIGHTS),
        ("--compile-cache", given.compile_cache, COMPILE_CACHE),
    ):
        if folder is not None:
            container = container.with_mounted_directory(path, folder, read_only=True)
            words += [option, path]
    return await _printed(container, given, asked, words)


async def _push(
    given: Given,
    asked: Publishing,
    thin: dagger.Directory,
    *,
    report: dagger.File,
    clean: dagger.File,
) -> str:
    """Push an image that both reports name and pass; no other program knows a password."""
    container = (
        tool.container(given)
        .with_mounted_directory(LAYOUT, thin, read_only=True)
        .with_mounted_file(SMOKE, report)
        .with_mounted_file(SCAN, clean)
    )
    words = ["push", LAYOUT, *asked.addresses, "--report", SMOKE, "--scan", SCAN, "--lock", LOCK]
    return await _printed(container, given, asked, [*words, *layout.base(given)])


async def _printed(
    container: dagger.Container, given: Given, asked: Publishing, words: list[str]
) -> str:
    """Run a program that pushes, each time anew, and give what it prints."""
    container = layout.reading(container, given)
    container = credentials.added(container, "REGISTRY", asked.username, asked.password)
    done = await tool.finished(tool.stage(tool.again(container), *words), "publishing")
    return (await done.stdout()).strip()
