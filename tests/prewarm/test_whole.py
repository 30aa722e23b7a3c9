"""The programs that the module asks for, run for real: a Hub on loopback, Debian's registry."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from stages import lockfile
from tests.prewarm.calling import Module
from tests.prewarm.execution import Execution
from tests.prewarm.running import Runner
from tests.prewarm.session import Failed, Session
from tests.stages.model import COMMIT, NAME, TOKEN
from tests.stages.packaging import SmallBase
from tests.stages.pushing import passing
from tests.stages.smoking import sound, write
from tests.support.hub import LoopbackHub
from tests.support.hub_repo import Repo
from tests.support.registry import Registry, registry

pytestmark = pytest.mark.containers
REPOSITORY = "images/tiny"


@pytest.fixture
def local(tmp_path: Path) -> Iterator[Registry]:
    """Run a registry that holds the lock's base."""
    with registry(tmp_path / "registry") as local:
        base = SmallBase()
        base.make()
        _fill(local, base)
        yield local


def _fill(local: Registry, base: SmallBase) -> None:
    """Push a base's blobs, then its manifests, the index last."""
    with httpx.Client(base_url=f"http://{local.host}/v2/base") as client:
        for digest, content in base.blobs.items():
            place = httpx.URL(client.post("/blobs/uploads/").headers["Location"])
            place = place.copy_merge_params({"digest": digest})
            done = client.put(place, content=content)
            assert done.status_code == httpx.codes.CREATED
        for digest, content in base.blobs.items():
            kind = _kind(content)
            if kind:
                done = client.put(
                    f"/manifests/{digest}", content=content, headers={"Content-Type": kind}
                )
                assert done.status_code == httpx.codes.CREATED


def _kind(content: bytes) -> str | None:
    try:
        found: str | None = json.loads(content).get("mediaType")
    except ValueError:
        return None
    return found


@pytest.fixture
def sound_hub() -> Iterator[LoopbackHub]:
    """Serve a model in which everything is right, to who has the token."""
    files: dict[str, bytes | Path] = dict(sound())
    with LoopbackHub(Repo.of(NAME, files, commit=COMMIT), gated=True, token=TOKEN) as hub:
        yield hub


@dataclass
class Whole:
    """A module whose programs run for real.

    Attributes:
        served: Whether a server's smoke test is stood in for, by the report of one that passes.
    """

    session: Session
    folder: Path
    hub: LoopbackHub
    local: Registry
    served: bool = False

    def __post_init__(self) -> None:
        """Write what the image is made of."""
        self.runner = Runner(self.folder)
        write(self.folder / "given", sound())

    def module(self) -> Module:
        """Give the module as a user has it who calls it once more."""
        module = Module(self.session)
        module.asked.outcome, module.asked.printed = self._outcome, self.runner.printed
        given = self.folder / "given"
        return module.given(
            lock_file=module.bring("File", "lock", given / "lock"),
            runtime=module.bring("Directory", "runtime", given / "runtime"),
            hub=self.hub.endpoint,
            base=f"{self.local.host}/base",
        )

    def publish(self, tag: str, **more: Any) -> Module:
        """Publish, and hold what is printed against the registry."""
        module = self.module()
        name = f"{self.local.host}/{REPOSITORY}:{tag}"
        reference = module.call(
            "publish",
            address=name,
            hf_token=module.bring("Secret", "env://HF_TOKEN", TOKEN),
            **more,
        )
        told, _, digest = reference.partition("@")
        manifest: Any = self.local.manifest(REPOSITORY, tag)
        assert told == name
        assert manifest == self.local.manifest(REPOSITORY, digest)
        assert all(self.local.has_blob(REPOSITORY, one["digest"]) for one in manifest["layers"])
        return module

    def _outcome(self, one: Execution) -> Failed | None:
        if not (self.served and one.verb == "smoke"):
            return self.runner.outcome(one)
        root = self.folder / "served"
        root.mkdir()
        self.runner.roots[one.recipe.id] = root
        layout = self.runner.path(one.mounts["/layout"])
        (root / "report.json").write_text(json.dumps(passing(layout)))
        return None


@pytest.fixture
def whole(module: Module, tmp_path: Path, sound_hub: LoopbackHub, local: Registry) -> Whole:
    """Make a module whose programs run."""
    return Whole(module.session, tmp_path, sound_hub, local)


def asked(hub: LoopbackHub) -> int:
    """Count what Hub and storage were asked."""
    return len(hub.hub.log) + len(hub.storage.log)


def test_publish_at_level_static_pushes(whole: Whole) -> None:
    """One program, from the lock to the registry's reference."""
    module = whole.publish("v1")

    assert module.asked.verbs() == ["build"]
    assert asked(whole.hub) > 0


def test_publish_downloads_nothing_that_the_registry_has(whole: Whole) -> None:
    """An edit of the runtime on a machine that starts cold: the Hub is not asked at all."""
    whole.publish("v1")
    before = asked(whole.hub)
    for volume in whole.folder.glob("prewarm-*"):
        volume.rename(volume.with_name(f"gone-{volume.name}"))
    (whole.folder / "given" / "runtime" / "__main__.py").write_text("print('edited')\n")

    whole.publish("v2")

    assert asked(whole.hub) == before
    layers = [whole.local.manifest(REPOSITORY, tag)["layers"] for tag in ("v1", "v2")]
    changed = [first != second for first, second in zip(*layers, strict=True)]
    assert changed == [False] * (len(changed) - 1) + [True]


def test_publish_at_level_cpu_pushes_what_was_tested(whole: Whole) -> None:
    """Each stage in its own root, on what the ones before left there."""
    whole.served = True
    module = whole.publish("v1", level="CPU")

    assert module.asked.verbs() == ["download", "image", "smoke", "scan", "push"]


def test_smoke_test_passes_and_reports(whole: Whole) -> None:
    """Level static, with weights that the Hub gave."""
    module = whole.module()
    token = module.bring("Secret", "env://HF_TOKEN", TOKEN)
    report = json.loads(
        whole.runner.path(module.call_for("smoke_test", hf_token=token)).read_bytes()
    )

    assert (report["verdict"], report["level"]) == ("passed", "static")
    assert report["isolated"] is None


def test_scan_needs_no_weights_that_the_lock_knows(whole: Whole) -> None:
    """They are referred to by digest, so the image's layout holds our small blobs alone."""
    module = whole.module()
    token = module.bring("Secret", "env://HF_TOKEN", TOKEN)
    report = json.loads(whole.runner.path(module.call_for("scan", hf_token=token)).read_bytes())
    layout = whole.runner.path(module.asked.only("scan").mounts["/layout"])

    assert report["verdict"] == "clean"
    weights = {one.digest for one in lockfile.read(whole.folder / "given" / "lock").model.layers}
    held = {f"sha256:{path.name}" for path in (layout / "blobs" / "sha256").iterdir()}
    assert held.isdisjoint(weights)


def test_image_without_its_report_is_not_pushed(whole: Whole) -> None:
    """A report of another image, handed in by its file."""
    module = whole.module()
    (whole.folder / "other.json").write_text(json.dumps({"version": 1}))
    report = module.bring("File", "other report", whole.folder / "other.json")
    token = module.bring("Secret", "env://HF_TOKEN", TOKEN)

    message = module.refused(
        "publish",
        address=f"{whole.local.host}/{REPOSITORY}:v1",
        report=report,
        hf_token=token,
    )

    assert message.startswith("publishing: ")
    assert not [line for line in whole.local.asked("PUT") if REPOSITORY in line]
