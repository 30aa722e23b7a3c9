"""The Dockerfile, built for real: Debian's Docker, a base with vLLM for the CPU, a gated Hub."""

import json
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from stages import dockerfile, lockfile
from tests.stages.model import TOKEN
from tests.stages.test_rootfs import write_cache
from tests.support import debian_base
from tests.support.docker_build import Builder, Context, layout_of, package_index, stages
from tests.support.dockerd import Docker
from tests.support.hub import LoopbackHub
from tests.support.hub_repo import Repo
from tests.support.image_files import files_of, start_of
from tests.support.registry import Registry
from tests.support.server import ROOT

pytestmark = [pytest.mark.containers, pytest.mark.timeout(600)]

NAME = "acme/tiny-gemma3"
TAG = "dockerfile-test"
WARM_SECONDS = 180.0
SHM = "1g"  # the CPU build of vLLM wants 400 MB, where Docker gives 64


@dataclass(frozen=True, kw_only=True)
class Built:
    """An image that was built, with what its build wrote and asked."""

    builder: Builder
    hub: LoopbackHub
    folder: Path
    log: Path
    layout: Path

    @property
    def layers(self) -> list[str]:
        """The diff_ids, base first."""
        return layers_of(self.builder.engine, TAG)


def layers_of(engine: Docker, tag: str) -> list[str]:
    """Read an image's diff_ids."""
    found: list[str] = json.loads(engine.output("image", "inspect", tag))[0]["RootFS"]["Layers"]
    return found


@pytest.fixture(scope="module")
def model(vllm_python: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write the tiny model."""
    folder = tmp_path_factory.mktemp("model") / "tiny"
    subprocess.run([vllm_python, ROOT / "scripts/tiny_model.py", folder], check=True)
    return folder


@pytest.fixture(scope="module")
def built(
    model: Path,
    engine: Docker,
    base_registry: Registry,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Built]:
    """Lock the model of a gated Hub, and build with the token in a file."""
    folder = tmp_path_factory.mktemp("dockerfile")
    token = folder / "token"
    token.write_text(TOKEN)
    base = f"{base_registry.host}/base:{debian_base.TAG}"
    with ExitStack() as running:
        repo = Repo.of_folder(NAME, model)
        hub = running.enter_context(LoopbackHub(repo, gated=True, token=TOKEN))
        pip = running.enter_context(package_index(folder))
        context = Context.make(folder / "context")
        locked = stages(
            *("lock", NAME, "--base", base, "--out", context.lock, "--token-file", token),
            environ={"HF_ENDPOINT": hub.endpoint},
        )
        assert locked.returncode == 0, locked.stderr
        pinned = f"{base}@{debian_base.digest()}"
        places = {"TOOL": pinned, "CPU_BASE": pinned, "HF_ENDPOINT": hub.endpoint}
        builder = Builder(
            engine=engine,
            context=context,
            arguments=dockerfile.arguments(lockfile.read(context.lock)) | places,
            secrets={"HF_TOKEN": token, "PIP_CONFIG": pip},
        )
        done = builder.build(TAG)
        log = folder / "build.log"
        log.write_text(done.stdout + done.stderr)
        layout = layout_of(engine, base_registry, TAG, folder / "layout")
        yield Built(builder=builder, hub=hub, folder=folder, log=log, layout=layout)


@pytest.mark.parametrize("user", ["", "12345:0"], ids=["2000:0", "12345:0"])
def test_it_serves_as_any_user_with_no_network(user: str, built: Built) -> None:
    """Its own user or any other of group 0, nothing writable but /tmp: warm, and answers."""
    engine = built.builder.engine
    limits = ["--network=none", "--read-only", "--tmpfs=/tmp", f"--shm-size={SHM}"]
    settings = ["--env=VLLM_TORCH_COMPILE_LEVEL=0", "--env=VLLM_CPU_KVCACHE_SPACE=1"]
    as_user = [f"--user={user}"] if user else []
    container = engine.output("run", "--detach", *limits, *settings, *as_user, TAG)
    try:
        _wait_healthy(engine, container)
        pid = engine.output("inspect", "--format={{.State.Pid}}", container)
        status = Path(f"/proc/{pid}/status").read_text()
        out = built.folder / f"smoke-{user or 'own'}.json"

        asked = stages(
            *("smoke", "http://127.0.0.1:8000", "--level=cpu", "--out", out),
            wrapper=("nsenter", f"--target={pid}", "--net"),
        )
        engine.run("stop", "--time=10", container)

        code = engine.output("inspect", "--format={{.State.ExitCode}}", container)
        report = json.loads(out.read_bytes())
        assert asked.returncode == 0, asked.stdout + asked.stderr
        assert report["verdict"] == "passed"
        assert report["start"]["model"] == NAME
        assert f"Uid:\t{(user or '2000:0').partition(':')[0]}\t" in status
        assert "Gid:\t0\t" in status
        assert code == "0"
    finally:
        engine.run("rm", "--force", container)


def _wait_healthy(engine: Docker, container: str) -> None:
    deadline = time.monotonic() + WARM_SECONDS
    look = ("inspect", "--format={{.State.Status}} {{.State.Health.Status}}", container)
    while (state := engine.output(*look)) != "running healthy":
        if not state.startswith("running") or time.monotonic() > deadline:
            log = engine.run("logs", container)
            raise AssertionError(f"{state}\n{log.stdout[-3000:]}{log.stderr[-3000:]}")
        time.sleep(0.5)


def test_scan_finds_nothing(built: Built) -> None:
    """Neither the token nor anything like one: layers, configuration, history, build output."""
    token = built.builder.secrets["HF_TOKEN"]

    scanned = stages(
        *("scan", built.layout, "--lock", built.builder.context.lock),
        *("--secret-file", token, "--log", built.log),
    )

    assert scanned.returncode == 0, scanned.stdout + scanned.stderr
    assert "is clean" in scanned.stdout


def test_service_of_the_pushed_image(built: Built, base_registry: Registry, tmp_path: Path) -> None:
    """`deploy` reads the image where it was pushed to, by digest; the layout is not needed."""
    digest = json.loads((built.layout / "index.json").read_bytes())["manifests"][0]["digest"]
    name = f"{base_registry.host}/acme/dockerfile:layout@{digest}"
    out = tmp_path / "service.json"

    done = stages("deploy", name, "--out", out)

    assert done.returncode == 0, done.stderr
    made = json.loads(out.read_bytes())
    assert made["metadata"]["name"] == "tiny-gemma3"
    assert made["spec"]["template"]["spec"]["containers"][0]["image"] == name


def test_runtime_edit_reuses_every_weight_layer(built: Built) -> None:
    """One layer is new, the last; nothing is asked of the Hub."""
    before = built.layers
    asked = len(built.hub.hub.log)
    module = built.builder.context.folder / "runtime/__init__.py"
    original = module.read_text()
    module.write_text(f"{original}# edited\n")

    built.builder.build("dockerfile-edited")

    module.write_text(original)
    after = layers_of(built.builder.engine, "dockerfile-edited")
    assert after[:-1] == before[:-1]
    assert after[-1] != before[-1]
    assert len(built.hub.hub.log) == asked


def test_layers_follow_from_the_sources(built: Built) -> None:
    """Built anew with no cache, on any day, the layers are the same to the byte."""
    built.builder.engine.run("builder", "prune", "--all", "--force")

    built.builder.build("dockerfile-again")

    assert layers_of(built.builder.engine, "dockerfile-again") == built.layers


def test_both_makers_make_one_image(built: Built, tmp_path: Path) -> None:
    """`docker build` and `stages image` agree on how it starts, and on every file, by layers."""
    image = _by_stages(built, tmp_path)

    assert start_of(built.layout) == start_of(image)
    assert files_of(built.layout) == files_of(image)


def test_compile_cache_is_a_layer_of_both(
    built: Built, base_registry: Registry, tmp_path: Path
) -> None:
    """What `bake` kept, compiled Python included, lies between model and runtime, with a label."""
    context = built.builder.context
    cache = write_cache(context.folder / "compile-cache")
    told = stages("dockerfile", "--lock", context.lock, "--compile-cache", cache).stdout.split()
    given = dict(word.split("=", 1) for word in told[1::2])

    built.builder.build("dockerfile-baked", given)

    layout = layout_of(built.builder.engine, base_registry, "dockerfile-baked", tmp_path / "baked")
    image = _by_stages(built, tmp_path, cache=cache)
    assert start_of(layout) == start_of(image)
    assert files_of(layout) == files_of(image)
    assert layers_of(built.builder.engine, "dockerfile-baked")[:-2] == built.layers[:-1]


def _by_stages(built: Built, folder: Path, cache: Path | None = None) -> Path:
    """Make the same image with the stages' own programs."""
    named = ("--lock", built.builder.context.lock)
    token = ("--token-file", built.builder.secrets["HF_TOKEN"])
    baked = ("--compile-cache", cache) if cache else ()
    for words in (
        ("download", *named, "--cache", folder / "c", "--out", folder / "w", *token),
        ("rootfs", *named, "--weights", folder / "w", "--out", folder / "tree", *baked),
        ("image", *named, "--rootfs", folder / "tree", "--out", folder / "image"),
    ):
        done = stages(*words, environ={"HF_ENDPOINT": built.hub.endpoint})
        assert done.returncode == 0, done.stderr
    return folder / "image"


def test_smoke_test_in_the_build(built: Built) -> None:
    """SMOKE=cpu starts the server, shows its answers, and makes the same image."""
    done = built.builder.build("dockerfile-smoked", {"SMOKE": "cpu"})

    told = done.stdout + done.stderr
    assert "passed, level cpu" in told
    assert "prewarm: 10 s: starting the engine" in told
    assert layers_of(built.builder.engine, "dockerfile-smoked") == built.layers


def test_default_says_what_it_did_not_test(built: Built) -> None:
    """In the build's own output, with what would test it."""
    assert "Not shown: that the server starts and answers" in built.log.read_text()


def test_failing_server_fails_the_build(built: Built) -> None:
    """With the server's log in the output, and no image."""
    module = built.builder.context.folder / "runtime/start.py"
    original = module.read_text()
    module.write_text(f"{original}\nraise RuntimeError('broken on purpose')\n")

    done = built.builder.build("dockerfile-broken", {"SMOKE": "cpu"}, check=False)

    module.write_text(original)
    assert done.returncode != 0
    assert "smoke test: the server ended before its port opened" in done.stderr
    assert "broken on purpose" in done.stderr
    assert not built.builder.engine.output("images", "--quiet", "dockerfile-broken")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        pytest.param({"MODEL_COMMIT": "0" * 40}, "the lock says", id="another lock's arguments"),
        pytest.param({"BASE": "no-vllm"}, "the base holds no vLLM", id="base without vLLM"),
    ],
)
def test_refused_build_leaves_no_image(
    arguments: dict[str, str], message: str, built: Built, tmp_path: Path
) -> None:
    """One clear message in the build's output."""
    engine = built.builder.engine
    (tmp_path / "Dockerfile").write_text("FROM scratch\nCOPY Dockerfile /etc/\n")
    engine.run("build", "--tag=no-vllm", ".", cwd=tmp_path)

    done = built.builder.build("dockerfile-refused", arguments, check=False)

    assert done.returncode != 0
    assert message in done.stderr
    assert not engine.output("images", "--quiet", "dockerfile-refused")


def test_gated_model_needs_the_secret(built: Built) -> None:
    """Where nothing of it was downloaded before, a build without the token says what to do."""
    engine = built.builder.engine
    engine.run("builder", "prune", "--all", "--force")
    secrets = {name: path for name, path in built.builder.secrets.items() if name != "HF_TOKEN"}

    done = replace(built.builder, secrets=secrets).build("dockerfile-refused", check=False)

    assert done.returncode != 0
    assert f"{NAME} is gated and no token was sent. Accept its licence" in done.stderr
    assert not engine.output("images", "--quiet", "dockerfile-refused")
