"""The whole smoke test: what can be read first, then the server, then the report."""

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from stages.lockfile import Lock
from stages.origin import Origin
from stages.secret import Secret
from stages.smoke import launch, limits, network, served
from stages.smoke.asking import Client, Server
from stages.smoke.questioning import Questioning
from stages.smoke.report import Check, Level, Report, Versions, WrongError, looked_at
from stages.smoke.static import Static
from stages.smoke.subject import Subject
from stages.stop import Stop

CPU = "cpu"  # the device of vLLM's build for the CPU, as the server calls it


@dataclass(frozen=True, kw_only=True)
class Serving:
    """A server to start.

    Attributes:
        tree: The image's root.
        python: The interpreter that has vLLM.
        changes: Settings over the image's.
        log: Receives what the server writes.
        host_network: Whether the server shall be in this machine's network; else this very
            process is in one of its own.
        machine: The environment that tells where programs and libraries lie.
    """

    tree: Path
    python: str
    changes: Mapping[str, str]
    log: Path
    host_network: bool
    machine: Mapping[str, str]


@dataclass
class Smoke:
    """One smoke test.

    Attributes:
        level: How much shall be tried; None takes what the server is.
        subject: The image, and `lock` with it; None when only a server is asked.
        weights: The model's folder; None when it lies in the tree or the layout, or nowhere.
        address: A server that runs already.
        serving: A server to start.
    """

    client: Client
    level: Level | None
    subject: Subject | None
    lock: Lock | None
    weights: Path | None
    address: str | None
    serving: Serving | None
    key: Secret | None
    stop: Stop
    checks: list[Check] = field(default_factory=list)
    not_shown: list[str] = field(default_factory=list)
    start: Mapping[str, Any] | None = None
    isolated: bool | None = None

    def run(self) -> Report:
        """Try everything, and write down what was found; what fails first ends it."""
        if self.subject and self.lock:
            self.checks += self._static(self.subject, self.lock)
        if all(check.passed for check in self.checks):
            if self.serving and self.subject:
                self._serve(self.serving, self.subject)
            elif self.address:
                self.isolated = Origin.of(self.address).is_loopback and network.isolated()
                self._ask(self.address)
        return self._report()

    def _static(self, subject: Subject, lock: Lock) -> list[Check]:
        looking = Static(
            subject=subject,
            lock=lock,
            tree=self.serving.tree if self.serving else None,
            weights=self.weights,
            stop=self.stop,
            not_shown=self.not_shown,
        )
        return looking.run()

    def _serve(self, serving: Serving, subject: Subject) -> None:
        """Start the server, ask it and stop it; its log is shown if anything failed."""
        with self._started(serving, subject) as process:
            opened = looked_at("start", process.wait_open)
            self.checks.append(opened)
            if opened.passed:
                self.isolated = network.isolated()
                self._ask(f"http://127.0.0.1:{process.port}")
                self.checks.append(looked_at("SIGTERM", process.end))
            if any(not check.passed for check in self.checks):
                tail = process.tail()
                hidden = self.key.hide_in(tail) if self.key else tail
                sys.stderr.write(f"stages: the end of the server's log:\n{hidden}")

    @contextmanager
    def _started(self, serving: Serving, subject: Subject) -> Iterator[served.Process]:
        env = subject.arguments.env
        user = launch.user(subject.run.get("User"))
        possible = user if user and served.may_be(user) else None
        self.not_shown += limits.served(serving.changes, env, user=None if possible else user)
        more = dict(serving.changes)
        if serving.host_network:
            more |= {"HOST": "127.0.0.1", "PORT": str(served.free_port())}
        with served.scratch() as scratch:
            environ = launch.environment(
                env,
                tree=serving.tree,
                machine=serving.machine,
                scratch=scratch,
                more=more,
                key=self.key,
            )
            command = launch.command(subject.arguments, serving.python)
            with served.running(
                command, environ, user=possible, scratch=scratch, log=serving.log, stop=self.stop
            ) as process:
                yield process

    def _ask(self, address: str) -> None:
        env = self.subject.arguments.env if self.subject else {}
        allowed = frozenset(env.get("ALLOW_ROUTES", "").replace(" ", "").split(","))
        questioning = Questioning(
            Server(client=self.client, address=address, key=self.key),
            model=env.get("MODEL_NAME"),
            allowed=allowed,
            stop=self.stop,
        )
        self.checks += questioning.run()
        self.start = questioning.start
        if self.start:
            self.checks.append(looked_at("level", self._check_level))

    def _check_level(self) -> str:
        """Hold the level that was asked for against what answered."""
        device = str((self.start or {})["device"])
        found = Level.CPU if device == CPU else Level.GPU
        if self.level not in {None, found}:
            raise WrongError(f"the server runs on {device}, which is not the level {self.level}")
        self.level = found
        return f"{found}: {device}"

    def _report(self) -> Report:
        told = self.start or {}
        image = self.subject.image if self.subject else None
        vllm = Versions(image=self.subject.vllm if self.subject else None, tested=told.get("vllm"))
        level = self.level or Level.STATIC
        found = limits.limits(
            level,
            image=image,
            vllm=vllm,
            isolated=self.isolated,
            device=told.get("device"),
        )
        if self.address and image:
            self.not_shown.append("that this very image answers: whoever started it knows")
        return Report(
            level=level,
            image=image,
            vllm=vllm,
            isolated=self.isolated,
            checks=tuple(self.checks),
            not_shown=(*found, *self.not_shown),
            start=self.start,
        )
