"""The stages of a build, in turn, each the very verb that has its name."""

import contextlib
import shutil
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from anyio.to_thread import run_sync

from stages import alone, compile_cache, credentials, lockfile, reference, rootfs
from stages.command import download, image, push, scan, smoke
from stages.command import rootfs as rootfs_verb
from stages.command.download import DownloadArguments
from stages.command.image import ImageArguments
from stages.command.options import Verb
from stages.command.push import PushArguments
from stages.command.rootfs import RootfsArguments
from stages.command.scan import ScanArguments
from stages.command.smoke import SmokeArguments
from stages.credentials import Login, Whose
from stages.errors import UsageError
from stages.holes import holes
from stages.hub import open_client
from stages.image import vllm_version
from stages.lockfile import Lock
from stages.progress import Mode
from stages.reference import Reference
from stages.registry import Registry
from stages.scan.needles import LONGEST_SECRET, SHORTEST_SECRET
from stages.secret import Secret
from stages.smoke.launch import OF_THE_MACHINE
from stages.smoke.report import Level
from stages.stop import Stop
from stages.work import Work


@dataclass(frozen=True, kw_only=True)
class BuildArguments:
    """What `build` was asked.

    Attributes:
        weights: The model's files, which are not downloaded then; None downloads them.
        compile_cache: None without one.
        image: What `image` will be asked.
        push: What `push` will be asked.
    """

    lock: Path
    work: Work
    cache: Path
    weights: Path | None
    runtime: Path
    compile_cache: Path | None
    level: Level
    python: str
    env: tuple[str, ...]
    progress: Mode
    token_file: Path | None
    image: ImageArguments
    push: PushArguments


@dataclass(frozen=True, kw_only=True)
class Steps:
    """One build.

    Attributes:
        token: What proves to the Hub who we are.
        login: Who we are to the target's registry.
    """

    arguments: BuildArguments
    environ: Mapping[str, str] = field(repr=False)
    token: Secret | None
    login: Login | None
    stop: Stop

    async def run(self) -> None:
        """Do every step; only the references of what was pushed go to standard output."""
        lock = lockfile.read(self.arguments.lock)
        self.arguments.work.clear()
        await run_sync(self._check)
        place = self.arguments.push.base or reference.parse(lock.base.image)
        secrets = self._secrets(place)
        for line in _warnings(lock):
            _tell(line)
        await run_sync(image.read_base, place, lock, self.environ, abandon_on_cancel=True)
        known = await run_sync(self._is_known, lock, abandon_on_cancel=True)
        steps = list(self._steps(secrets, known=known))
        with contextlib.redirect_stdout(sys.stderr):
            for name, verb in steps:
                _tell(name)
                await verb()
        _tell("push")
        await push.prepare(self.arguments.push, self.environ, self.stop)()

    def _check(self) -> None:
        """Look at what is given before anything is fetched.

        Raises:
            UsageError: The runtime or the interpreter is none.
            IntegrityError: The compile cache is not what it says.
        """
        arguments = self.arguments
        rootfs.modules(arguments.runtime)
        if arguments.compile_cache:
            compile_cache.read(arguments.compile_cache, self.stop)
        if arguments.level is Level.CPU and not shutil.which(arguments.python):
            raise UsageError(f"--python: there is no {arguments.python}, which level cpu needs")

    def _is_known(self, lock: Lock) -> bool:
        """Ask the target's registry for the lock's weights, so that nothing need be fetched.

        It is asked in any case: who may not read there learns it before a long download.
        """
        digests = [one.digest for one in lock.model.layers if one.digest]
        asked = digests or [lock.base.digest]
        target, *_ = self.arguments.push.targets
        with open_client() as client:
            registry = Registry(client, login=self.login)
            missing = registry.missing(target, asked, also=self.arguments.push.mounts)
        there = len(set(digests) - set(missing))
        _tell(f"{target.host} holds {there} of {len(lock.model.layers)} layers of the weights")
        if len(digests) < len(lock.model.layers):
            _tell("the lock does not know every layer: `lock --weights DIR` adds what it lacks")
        whole = there == len(lock.model.layers)
        return whole and self.arguments.level is Level.STATIC and not self.arguments.weights

    def _steps(self, secrets: Mapping[str, str], *, known: bool) -> Iterator[tuple[str, Verb]]:
        """Give each stage's name and what to run; with `known` weights none are needed."""
        arguments, work = self.arguments, self.arguments.work
        weights = None if known else arguments.weights or work.weights
        if not known and not arguments.weights:
            yield "download", download.prepare(self._download(), self.environ, self.stop)
        tree = RootfsArguments(
            lock=arguments.lock,
            weights=weights,
            runtime=arguments.runtime,
            compile_cache=arguments.compile_cache,
            out=work.tree,
        )
        yield "rootfs", rootfs_verb.prepare(tree, self.environ, self.stop)
        made = replace(arguments.image, known=known)
        yield "image", image.prepare(made, self.environ, self.stop)
        yield f"smoke, level {arguments.level}", self._smoke(weights)
        yield "scan", scan.prepare(self._scan(secrets), secrets, self.stop)

    def _download(self) -> DownloadArguments:
        return DownloadArguments(
            lock=self.arguments.lock,
            cache=self.arguments.cache,
            out=self.arguments.work.weights,
            progress=self.arguments.progress,
            token_file=self.arguments.token_file,
        )

    def _smoke(self, weights: Path | None) -> Verb:
        """Look at the image here; a server is asked by a process that can have its own network."""
        work, lock = self.arguments.work, self.arguments.lock
        if self.arguments.level is Level.CPU:
            return self._smoke_alone
        asked = SmokeArguments(image=work.image, lock=lock, weights=weights, out=work.report)
        return smoke.prepare(asked, {}, self.stop)

    async def _smoke_alone(self) -> None:
        arguments, work = self.arguments, self.arguments.work
        words = [
            "smoke",
            f"--level={arguments.level}",
            f"--image={work.image}",
            f"--lock={arguments.lock}",
            f"--serve={work.tree}",
            f"--python={arguments.python}",
            f"--log={work.log}",
            f"--out={work.report}",
            *(f"--env={one}" for one in arguments.env),
        ]
        machine = {name: self.environ[name] for name in OF_THE_MACHINE if name in self.environ}
        await alone.run(words, machine)

    def _scan(self, secrets: Mapping[str, str]) -> ScanArguments:
        """Search the image, and what the smoke test wrote."""
        work = self.arguments.work
        logs = [work.report, work.log] if self.arguments.level is Level.CPU else [work.report]
        return ScanArguments(
            layout=work.image,
            lock=self.arguments.lock,
            secret_files=(),
            secret_names=tuple(secrets),
            logs=tuple(logs),
            out=work.scan,
        )

    def _secrets(self, place: Reference | Path) -> dict[str, str]:
        """Give every secret that can be looked for: a short one is in each image by chance.

        Raises:
            UsageError: The login for the base's registry cannot be read.
        """
        base = None
        if isinstance(place, Reference):
            base = credentials.find(self.environ, place.host, whose=Whose.BASE)
        found = {
            "HF_TOKEN": self.token,
            "REGISTRY_PASSWORD": self.login.password if self.login else None,
            "BASE_REGISTRY_PASSWORD": base.password if base else None,
        }
        texts = {name: secret.reveal() for name, secret in found.items() if secret}
        return {
            name: text
            for name, text in texts.items()
            if SHORTEST_SECRET <= len(text.encode()) <= LONGEST_SECRET
        }


def _warnings(lock: Lock) -> Iterator[str]:
    """Name the holes that are known in the base's vLLM, closed ones too."""
    if version := vllm_version(lock.base):
        for hole in holes(version):
            yield f"vLLM {version} has {hole}"


def _tell(text: str) -> None:
    sys.stderr.write(f"stages: build: {text}\n")
