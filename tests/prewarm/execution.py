"""One program that the module would run, read out of the calls that lead to it."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from tests.prewarm.recipe import Recipe

STAGES = ["python3", "-P", "-m", "stages"]  # -P: nothing of the folder it runs in is imported


@dataclass(frozen=True)
class Execution:
    """A `withExec`, with what its container has been given before it."""

    recipe: Recipe

    @property
    def args(self) -> list[str]:
        """The command."""
        return list(self.recipe.args["args"])

    @property
    def unconfined(self) -> bool:
        """Whether it has root's capabilities."""
        return bool(self.recipe.args.get("insecureRootCapabilities", False))

    @property
    def verb(self) -> str | None:
        """The verb of `python -m stages`; None for another program."""
        return self.words[0] if self.words else None

    @property
    def words(self) -> list[str]:
        """The verb and what it is asked; empty for another program."""
        return self.args[len(STAGES) :] if self.args[: len(STAGES)] == STAGES else []

    @property
    def image(self) -> str:
        """The address of the image it runs in."""
        return str(self._before("from")[-1].args["address"])

    @cached_property
    def env(self) -> dict[str, str]:
        """Its plain variables: name -> value."""
        return {call.args["name"]: call.args["value"] for call in self._before("withEnvVariable")}

    @cached_property
    def secrets(self) -> dict[str, Recipe]:
        """Its secret variables: name -> secret."""
        return {
            call.args["name"]: call.args["secret"] for call in self._before("withSecretVariable")
        }

    @cached_property
    def mounts(self) -> dict[str, Recipe]:
        """The files and folders that are mounted or put in: path -> file or folder."""
        names = ("withMountedDirectory", "withMountedFile", "withFile", "withDirectory")
        return {
            call.args["path"]: call.args["source"]
            for call in self.recipe.chain()[:-1]
            if call.name in names
        }

    @cached_property
    def caches(self) -> dict[str, Recipe]:
        """The cache volumes: path -> the call that mounts it."""
        return {call.args["path"]: call for call in self._before("withMountedCache")}

    @cached_property
    def services(self) -> dict[str, Recipe]:
        """The services it reaches: name -> service."""
        return {
            call.args["alias"]: call.args["service"] for call in self._before("withServiceBinding")
        }

    @property
    def user(self) -> str | None:
        """Who it runs as; None is the image's user."""
        users = self._before("withUser")
        return str(users[-1].args["name"]) if users else None

    def _before(self, name: str) -> list[Recipe]:
        return self.recipe.calls(name)


def executions(recipe: Recipe) -> Iterator[Execution]:
    """Yield every program that a call depends on, those that run first before the others."""
    return (Execution(call) for call in recipe.all() if call.name == "withExec")
