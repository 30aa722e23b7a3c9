"""A stand-in for the engine's session: real HTTP and GraphQL, nothing that runs.

Every query is executed against the schema of the installed client, so a wrong field, argument or
type is an error as it is in the engine. What is asked for is kept; a program "runs" when a query
needs what comes out of it, and does what the test says.
"""

import base64
import json
import threading
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from graphql import GraphQLError, GraphQLResolveInfo, get_named_type, graphql_sync, is_leaf_type

from tests.prewarm import schema
from tests.prewarm.execution import Execution, executions
from tests.prewarm.recipe import Recipe

TOKEN = "session-token"


@dataclass(frozen=True, kw_only=True)
class Failed:
    """How a program ends that does not succeed."""

    code: int
    stderr: str
    stdout: str = ""


@dataclass
class Asked:
    """What one test's calls asked for, and how programs end.

    Attributes:
        ran: Programs in the order in which they would have run, each once.
        outcome: Says how a program fails, or None; may run it.
        printed: What a program writes to standard output.
        broken: Says why the engine itself cannot give a value, or None.
    """

    ran: list[Execution] = field(default_factory=list)
    recipes: list[Recipe] = field(default_factory=list)
    outcome: Callable[[Execution], Failed | None] = field(default=lambda _: None)
    printed: Callable[[Execution], str] = field(default=lambda _: "")
    broken: Callable[[Recipe], str | None] = field(default=lambda _: None)

    def verbs(self) -> list[str]:
        """List the verbs of the stages that ran."""
        return [one.verb for one in self.ran if one.verb]

    def texts(self) -> list[str]:
        """List every text that was given to the engine."""
        values = [value for one in self.recipes for value in one.args.values()]
        lists = [value if isinstance(value, list) else [value] for value in values]
        return [text for found in lists for text in found if isinstance(text, str)]

    def only(self, verb: str) -> Execution:
        """Give the one run of a verb."""
        (found,) = [one for one in self.ran if one.verb == verb]
        return found


class _Server(ThreadingHTTPServer):
    request_queue_size = 256  # a client asks for every id at once
    daemon_threads = True


class Session:
    """Listens on loopback while the block lasts.

    Attributes:
        run: Runs a coroutine function where the client is connected.
        problems: Queries that the schema does not allow.
    """

    run: Callable[[Callable[[], Coroutine[Any, Any, Any]]], Any]

    def __init__(self) -> None:
        """Make the schema."""
        self.asked = Asked()
        self.problems: list[str] = []
        self.known: dict[str, Recipe] = {}
        self.introspected: dict[str, dict[str, Any]] = {}  # what each connection asks first
        self.lock = threading.Lock()
        self.schema = schema.build(self._resolve, self._load)
        self.server = _Server(("127.0.0.1", 0), _handler(self))
        self.thread = threading.Thread(target=self.server.serve_forever, daemon=True)

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self.server.server_address[1])

    def __enter__(self) -> Self:
        """Start listening."""
        self.thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop listening."""
        self.server.shutdown()
        self.server.server_close()
        self.thread.join(10)

    def bring(self, kind: str, name: str, given: Path | str | None = None) -> str:
        """Bring in an object of the caller's, and give its id."""
        return self._keep(Recipe(kind=kind, name=name, given=given))

    def find(self, found: str) -> Recipe:
        """Give what an id stands for."""
        return self.known[found]

    def execute(self, query: str, variables: Mapping[str, Any] | None) -> dict[str, Any]:
        """Answer one query."""
        if query in self.introspected:
            return self.introspected[query]
        with self.lock:
            result = graphql_sync(self.schema, query, variable_values=dict(variables or {}))
        if "__schema" in query:
            self.introspected[query] = dict(result.formatted)
        for error in result.errors or ():
            if "_type" not in (error.extensions or {}):
                self.problems.append(f"{error.message}: {query}")
        return dict(result.formatted)

    def _keep(self, recipe: Recipe) -> str:
        self.known[recipe.id] = recipe
        return recipe.id

    def _load(self, kind: str, found: str) -> Recipe:
        recipe = self.known.get(found)
        if recipe is None or recipe.kind != kind:
            seen = recipe.kind if recipe else "nothing"
            raise GraphQLError(f"the id {found!r} stands for {seen}, expected {kind}")
        return recipe

    def _resolve(self, source: Recipe | None, info: GraphQLResolveInfo, /, **args: Any) -> Any:
        """Answer a field: an object is the call itself, a value is looked up."""
        name = info.field_name
        if name == "node":
            return self.known[args["id"]]
        if name == "id":
            assert source
            return self._keep(source)
        kind = get_named_type(info.return_type)
        recipe = Recipe(kind=kind.name, name=name, args=args, parent=source)
        self.asked.recipes.append(recipe)
        return self._value(recipe) if is_leaf_type(kind) else recipe

    def _value(self, leaf: Recipe) -> Any:
        """Run what a value needs, and give it."""
        of = leaf.parent
        assert of
        if why := self.asked.broken(leaf):
            raise GraphQLError(why, extensions={"_type": "ENGINE"})
        for one in executions(of):
            if one.recipe.id not in {ran.recipe.id for ran in self.asked.ran}:
                self._run(one)
        if leaf.name == "sync":
            return self._keep(of)
        if leaf.name == "contents":
            return _content(of)
        if leaf.name == "stdout":
            return self.asked.printed(Execution(of.calls("withExec")[-1]))
        raise GraphQLError(f"no test has needed {of.kind}.{leaf.name} so far")

    def _run(self, one: Execution) -> None:
        self.asked.ran.append(one)
        if failed := self.asked.outcome(one):
            raise GraphQLError(
                f"process {one.args} did not complete successfully: exit code: {failed.code}",
                extensions={
                    "_type": "EXEC_ERROR",
                    "cmd": one.args,
                    "exitCode": failed.code,
                    "stdout": failed.stdout,
                    "stderr": failed.stderr,
                },
            )


def _content(file: Recipe) -> str:
    """Read a file that a test brought in, by itself or in a folder."""
    if isinstance(file.given, Path):
        return file.given.read_text()
    assert file.name == "file"
    assert file.parent
    assert isinstance(file.parent.given, Path)
    path: str = file.args["path"]
    return (file.parent.given / path).read_text()


def _handler(session: Session) -> type[BaseHTTPRequestHandler]:
    wanted = "Basic " + base64.b64encode(f"{TOKEN}:".encode()).decode()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = -1  # head and body leave together: the body would wait 40 ms for the head's ACK

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            known = self.headers["Authorization"] == wanted and self.path == "/query"
            answer = session.execute(body["query"], body.get("variables")) if known else {}
            content = json.dumps(answer).encode()
            self.send_response(200 if known else 401)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    return Handler
