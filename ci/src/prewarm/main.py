"""The functions that a user calls. They choose and connect; what each does, its own file says."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated

import dagger
from dagger import DefaultPath, Doc, Ignore

from prewarm import checks, download, image, layout, lock, parts, publish, scan, serve, smoke
from prewarm.anew import anew
from prewarm.given import CPU_BASE, HUB, TOOL_IMAGE, Given
from prewarm.level import Level
from stages.lock import DEFAULT_BASE

JUNK = ["**/__pycache__", "**/*.pyc"]
MODEL = "google/gemma-3-1b-it"
# What the docs export to.
EXPORTS = ["/weights", "/compile-cache", "/work", "/cache", "/report.json", "/scan.json"]
TOOLS = [".git", ".venv", ".venvs", ".cache", ".*_cache", ".coverage*", "ci/sdk", ".env"]
UNTRACKED = [*TOOLS, *EXPORTS, *JUNK]

Token = Annotated[
    dagger.Secret | None,
    Doc(
        "Hugging Face token, for a gated model: env://HF_TOKEN?cacheKey=hf-token. With the "
        "cacheKey a new token downloads nothing again"
    ),
]
Weights = Annotated[
    dagger.Directory | None,
    Doc("The model's files, as download-weights exports them: checked, and the Hub is not asked"),
]
Source = Annotated[
    dagger.Directory, DefaultPath("/"), Ignore(UNTRACKED), Doc("The whole repository")
]
Tried = Annotated[Level, Doc("How much the smoke test tries")]


@dagger.object_type
class Prewarm:
    """A model as a vLLM server image: fetched, assembled, tested and published.

    What is given here holds for every function; each has a default but none needs one.
    """

    lock_file: Annotated[
        dagger.File,
        DefaultPath("/model.lock.json"),
        Doc("What is packaged, to the byte: model and base image, as `lock` writes it"),
    ]
    runtime: Annotated[
        dagger.Directory,
        DefaultPath("/runtime"),
        Ignore(JUNK),
        Doc("The package that the image runs"),
    ]
    stages: Annotated[
        dagger.Directory,
        DefaultPath("/ci/src/stages"),
        Ignore(JUNK),
        Doc("The programs that do the work of each stage"),
    ]
    tool_lock: Annotated[
        dagger.File,
        DefaultPath("/requirements/tool.lock"),
        Doc("What these programs need, with hashes"),
    ]
    smoke_lock: Annotated[
        dagger.File,
        DefaultPath("/requirements/smoke.lock"),
        Doc("What reads tokenizer and chat template at level static, with hashes"),
    ]
    tool_image: Annotated[str, Doc("Image that these programs run in: a Python, by digest")] = (
        TOOL_IMAGE
    )
    index: Annotated[
        str, Doc("Python package index that the tool image installs from; empty is pip's own")
    ] = ""
    hub: Annotated[str, Doc("Address of the Hugging Face Hub")] = HUB
    base: Annotated[
        str,
        Doc("Where the lock's base image is read: HOST/REPOSITORY; empty is where the lock says"),
    ] = ""
    base_username: Annotated[str, Doc("Who reads the base image, where it is private")] = ""
    base_password: Annotated[dagger.Secret | None, Doc("The password for the base image")] = None
    cpu_base: Annotated[
        str, Doc("Image with vLLM's CPU build, for the engine's processor: level cpu runs on it")
    ] = CPU_BASE
    created: Annotated[
        str,
        Doc("When the image says it was made: seconds since 1970, or like 2026-01-31T12:00:00Z"),
    ] = ""
    source_url: Annotated[str, Doc("Address of the sources, for a label of the image")] = ""
    source_revision: Annotated[str, Doc("Commit of the sources, for a label of the image")] = ""
    image_version: Annotated[str, Doc("Version of the image, for a label of it")] = ""
    compile_cache: Annotated[
        dagger.Directory | None, Doc("What `bake` exported, to go into the image")
    ] = None
    hub_service: Annotated[
        dagger.Service | None,
        Doc("A Hub on this machine, as tcp://127.0.0.1:8080; --hub is http://hub.localhost:8080"),
    ] = None
    index_service: Annotated[
        dagger.Service | None,
        Doc("A package index on this machine; --index is then http://index.localhost:PORT/..."),
    ] = None
    registry_service: Annotated[
        dagger.Service | None,
        Doc(
            "A registry on this machine, as tcp://127.0.0.1:5000; known as registry.localhost:5000"
        ),
    ] = None

    @dagger.function
    async def download_weights(self, *, hf_token: Token = None) -> dagger.Directory:
        """Fetch the lock's files from the Hub, verified; a broken download goes on where it ended.

        `export --path weights` puts them on this machine; every function takes them by --weights.
        """
        return await download.ready(self._given(), token=hf_token, weights=None)

    @dagger.function
    async def assemble_image(
        self, *, hf_token: Token = None, weights: Weights = None
    ) -> dagger.Container:
        """Put weights, compile cache and runtime on the lock's base image.

        `export-image --name NAME` loads it into this machine's Docker.
        """
        made = await parts.ready(self._given(), token=hf_token, weights=weights)
        return await image.assemble(self._given(), made, on=image.base(self._given(), made.lock))

    @anew
    async def smoke_test(
        self, *, hf_token: Token = None, weights: Weights = None, level: Tried = Level.STATIC
    ) -> dagger.File:
        """Try the image, and give the report as JSON; fails where one of its checks does.

        The report names the level and what it does not show.
        """
        made = await parts.ready(self._given(), token=hf_token, weights=weights)
        thin = await layout.make(self._given(), made.tree, known=True)
        return await smoke.test(self._given(), made, level, layout=thin)

    @anew
    async def build(
        self, *, hf_token: Token = None, weights: Weights = None, level: Tried = Level.STATIC
    ) -> dagger.Container:
        """Fetch, assemble and test: the image, once its smoke test has passed."""
        made = await parts.ready(self._given(), token=hf_token, weights=weights)
        thin = await layout.make(self._given(), made.tree, known=True)
        await smoke.test(self._given(), made, level, layout=thin)
        return await image.assemble(self._given(), made, on=image.base(self._given(), made.lock))

    @anew
    async def publish(
        self,
        *,
        address: Annotated[str, Doc("Where the image goes: HOST/REPOSITORY:TAG")],
        also: Annotated[
            Sequence[str], Doc("More names for it in the same repository: HOST/REPOSITORY:TAG")
        ] = (),
        hf_token: Token = None,
        weights: Weights = None,
        level: Tried = Level.STATIC,
        report: Annotated[
            dagger.File | None,
            Doc("A report of smoke-test for this very image, such as of level gpu, made elsewhere"),
        ] = None,
        username: Annotated[str, Doc("Who pushes; oauth2accesstoken for Artifact Registry")] = "",
        password: Annotated[
            dagger.Secret | None,
            Doc("The password, as 'cmd://gcloud auth print-access-token' or env://NAME"),
        ] = None,
    ) -> str:
        """Test, scan and push the image, and give HOST/REPOSITORY:TAG@sha256:... for it.

        Only what the registry lacks is sent, and the base image goes from registry to registry.
        At level static nothing is fetched from the Hub if every weight layer is there.
        """
        asked = publish.Publishing(
            addresses=(address, *also),
            level=level,
            report=report,
            token=hf_token,
            weights=weights,
            username=username,
            password=password,
        )
        return await publish.publish(self._given(), asked)

    @dagger.function
    async def serve(
        self,
        *,
        hf_token: Token = None,
        weights: Weights = None,
        gpu: Annotated[bool, Doc("Run the image on the engine's GPUs, not on vLLM's CPU build")] = (
            False
        ),
        settings: Annotated[
            Sequence[str],
            Doc(
                "The image's settings, as MAX_MODEL_LEN=2048; can be repeated. One with a "
                "comma or a quotation mark as CSV has it: '\"PREWARM_LENGTHS=128,256\"'"
            ),
        ] = (),
        api_key: Annotated[
            dagger.Secret | None, Doc("Key that every route but the probes then wants")
        ] = None,
    ) -> dagger.Service:
        """Run the server: `up --ports 8000:8000` opens the port here, once it is warm."""
        named = serve.variables(settings)
        made = await parts.ready(self._given(), token=hf_token, weights=weights)
        return await serve.service(self._given(), made, gpu=gpu, settings=named, key=api_key)

    @anew
    async def bake(self, *, hf_token: Token = None, weights: Weights = None) -> dagger.Directory:
        """Run the image on the engine's GPU, and keep what it compiles.

        `export --path compile-cache` keeps it here; --compile-cache puts it into an image. It
        fits one kind of GPU, and is code: trust it like code.
        """
        given = replace(self._given(), compile_cache=None)
        made = await parts.ready(given, token=hf_token, weights=weights)
        return await serve.bake(given, made)

    @anew
    async def lock(
        self,
        *,
        model: Annotated[str, Doc("OWNER/NAME on the Hub")] = MODEL,
        revision: Annotated[str, Doc("Branch, tag or commit")] = "main",
        base_image: Annotated[str, Doc("Image to stand on: HOST/REPOSITORY:TAG")] = DEFAULT_BASE,
        hf_token: Token = None,
        weights: Annotated[
            dagger.Directory | None,
            Doc("The model's files: with them the lock names each weight layer by digest"),
        ] = None,
    ) -> dagger.File:
        """Write down a model and a base image to the byte: commit, files, digests.

        `export --path model.lock.json` replaces the lock that is there.
        """
        return await lock.make(
            self._given(),
            model=model,
            revision=revision,
            base=base_image,
            token=hf_token,
            weights=weights,
        )

    @dagger.function
    async def scan(self, *, hf_token: Token = None, weights: Weights = None) -> dagger.File:
        """Look for credentials in all that the image adds to its base, and give the report.

        Fails where there is one. The token itself is looked for as well.
        """
        made = await parts.ready(self._given(), token=hf_token, weights=weights)
        thin = await layout.make(self._given(), made.tree, known=True)
        return await scan.scan(self._given(), thin, token=hf_token)

    @dagger.function
    @dagger.check
    async def lint(self, source: Source) -> None:
        """Check format, style, spelling and types of the whole repository."""
        await checks.run(self._given(), source, checks.LINT)

    @dagger.function
    @dagger.check
    async def test(self, source: Source) -> None:
        """Run the tests that need no vLLM, no Docker and no network."""
        await checks.run(self._given(), source, checks.TEST)

    def _given(self) -> Given:
        return Given(
            lock_file=self.lock_file,
            runtime=self.runtime,
            stages=self.stages,
            tool_lock=self.tool_lock,
            smoke_lock=self.smoke_lock,
            tool_image=self.tool_image,
            index=self.index,
            hub=self.hub,
            base=self.base,
            base_username=self.base_username,
            base_password=self.base_password,
            cpu_base=self.cpu_base,
            created=self.created,
            source_url=self.source_url,
            source_revision=self.source_revision,
            image_version=self.image_version,
            compile_cache=self.compile_cache,
            hub_service=self.hub_service,
            index_service=self.index_service,
            registry_service=self.registry_service,
        )
