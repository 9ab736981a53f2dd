"""POST /graphql: RunPod's GraphQL API over a real schema (`schema.graphql`), executed by graphql-core.

    create_graphql(box) -> ASGIApp

| what | answer | from |
| --- | --- | --- |
| User-Agent `Python-urllib/*` | 403 `error code: 1010`, from Cloudflare | recorded 2026 |
| no or a wrong key; the catalogue needs none | 401 | the SDK 1.12.0 knows the status; the body is our own |
| unreadable body, no query, syntax error | 400, codes BAD_REQUEST, GRAPHQL_PARSE_FAILED | Apollo Server 4 |
| unknown to the schema; introspection | 400, code GRAPHQL_VALIDATION_FAILED, no `data` | recorded 2026-08-20; Apollo |
| variables that don't fit | 400, code BAD_USER_INPUT, no `data` | recorded 2026-08-28 (the status); graphql-js 16 |
| what RunPod's rules forbid (`Refused`) | 200, message and path, code RUNPOD, the field null | recorded 2026 |
| a bug of the emulator | 200, the text that RunPod masks its own with, the traceback in the log | recorded 2025 |
"""

from __future__ import annotations

import inspect
import json
import logging
from collections.abc import Iterable, Mapping
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from graphql import (
    DocumentNode,
    ExecutionResult,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLError,
    GraphQLObjectType,
    GraphQLSchema,
    GraphQLSyntaxError,
    InlineFragmentNode,
    OperationDefinitionNode,
    OperationType,
    SelectionSetNode,
    Visitor,
    build_schema,
    execute,
    parse,
    validate,
    visit,
)
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from factory.emulator.runpod.graphql_mutations import mutations
from factory.emulator.runpod.graphql_queries import queries
from factory.emulator.runpod.graphql_wording import INTROSPECTION, MASKED, apollo_message, wrong_variables
from factory.emulator.runpod.refusals import Refused

if TYPE_CHECKING:
    from factory.emulator.runpod.box import Box

MAX_BODY_BYTES = 10 * 1024 * 1024
"""The emulator's own limit; RunPod's isn't published."""
KEYLESS = frozenset({"gpuTypes", "dataCenters", "serverlessGpuPools", "cpuFlavors", "countryCodes", "__typename"})
"""What is answered without a key: the catalogue (seen 2026)."""
_NO_QUERY = "GraphQL operations must contain a non-empty `query` or a `persistedQuery` extension."
_NO_BODY = "POST body missing, invalid Content-Type, or JSON object has no keys."

log = logging.getLogger(__name__)


def create_graphql(box: Box) -> ASGIApp:
    """Make the face."""
    return GraphqlFace(box)


_ARGUMENTS = {"input": "asked", "id": "wanted_id", "registryAuthId": "login_id", "templateName": "name"}
"""What the functions behind the fields call the schema's arguments."""


@cache
def _schema() -> GraphQLSchema:
    schema = build_schema(files(__package__).joinpath("schema.graphql").read_text())
    for kind in schema.type_map.values():
        for field in kind.fields.values() if isinstance(kind, GraphQLObjectType) else ():
            for name, argument in field.args.items():
                argument.out_name = _ARGUMENTS.get(name)
    return schema


class BadRequest(Exception):
    """A request that Apollo refuses before it runs: HTTP status and the `errors`."""

    def __init__(self, errors: list[dict[str, Any]], status: int = 400) -> None:
        super().__init__(errors[0]["message"])
        self.errors = errors
        self.status = status


class GraphqlFace:
    """The face as an ASGI application."""

    def __init__(self, box: Box) -> None:
        self._box = box
        self._schema = _schema()
        self._root = {**queries(box), **mutations(box)}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one call."""
        request = Request(scope, receive)
        await (await self._respond(request))(scope, receive, send)

    async def _respond(self, request: Request) -> Response:
        if request.headers.get("user-agent", "").startswith("Python-urllib/"):
            return PlainTextResponse("error code: 1010", 403)
        if request.url.path.rstrip("/") != "/graphql":
            return JSONResponse({"message": "Not Found"}, 404)
        if request.method != "POST":
            return PlainTextResponse("Method Not Allowed", 405, {"Allow": "POST"})
        try:
            return await self._answer(await _read(request), request.scope)
        except BadRequest as bad:
            return JSONResponse({"errors": bad.errors}, bad.status)

    async def _answer(self, asked: Mapping[str, Any], scope: Scope) -> Response:
        query, variables = asked["query"], asked.get("variables") or {}
        document = self._valid(query)
        operation = _operation(document, asked.get("operationName"))
        if not _root_fields(document, operation) <= KEYLESS and not self._box.accepts(scope):
            raise BadRequest([_error("Unauthorized", "UNAUTHENTICATED")], 401)
        if wrong := list(wrong_variables(self._schema, operation, variables)):
            raise BadRequest([_error(w.message, "BAD_USER_INPUT", GraphQLError("", w.node)) for w in wrong])
        given = execute(
            self._schema,
            document,
            root_value=self._root,
            variable_values=dict(variables),
            operation_name=asked.get("operationName"),
            hide_suggestions=True,
        )
        result = await given if inspect.isawaitable(given) else given
        return JSONResponse(_outcome(result))

    def _valid(self, query: str) -> DocumentNode:
        """Return the parsed and validated document."""
        try:
            document = parse(query, allow_empty_selection_sets=False)
        except (GraphQLSyntaxError, RecursionError) as error:
            at = error if isinstance(error, GraphQLSyntaxError) else None
            message = at.message if at else "Syntax Error: too deeply nested."
            raise BadRequest([_error(message.replace("'", '"'), "GRAPHQL_PARSE_FAILED", at)]) from None
        errors = [(apollo_message(e.message, self._schema), e) for e in _problems(self._schema, document)]
        errors += [(INTROSPECTION, e) for e in _introspection(document)]
        if errors:
            raise BadRequest([_error(message, "GRAPHQL_VALIDATION_FAILED", e) for message, e in errors])
        return document


async def _read(request: Request) -> dict[str, Any]:
    """Return the request's JSON object with its `query`. Raises BadRequest."""
    raw = bytearray()
    async for piece in request.stream():
        raw += piece
        if len(raw) > MAX_BODY_BYTES:
            raise BadRequest([_error("request entity too large", "BAD_REQUEST")], 413)
    is_json = request.headers.get("content-type", "").split(";")[0].strip().lower() == "application/json"
    if not raw or not is_json:
        raise BadRequest([_error(_NO_BODY, "BAD_REQUEST")])
    try:
        body = json.loads(raw)
        json.dumps(body, ensure_ascii=False).encode()  # a lone surrogate is no text: nothing could store it
    except (ValueError, RecursionError):
        raise BadRequest([_error("the body is not JSON", "BAD_REQUEST")]) from None
    if not isinstance(body, dict) or not body:
        raise BadRequest([_error(_NO_BODY, "BAD_REQUEST")])
    query = body.get("query")
    if not isinstance(query, str) or not query.strip():
        raise BadRequest([_error(_NO_QUERY, "BAD_REQUEST")])
    if not isinstance(body.get("variables") or {}, dict):
        raise BadRequest([_error("`variables` in a POST body must be an object.", "BAD_REQUEST")])
    if not isinstance(body.get("operationName") or "", str):
        raise BadRequest([_error("`operationName` in a POST body must be a string.", "BAD_REQUEST")])
    return body


def _problems(schema: GraphQLSchema, document: DocumentNode) -> Iterable[GraphQLError]:
    return validate(schema, document, hide_suggestions=True, allow_empty_selection_sets=False)


def _introspection(document: DocumentNode) -> list[GraphQLError]:
    """Return an error for each field that asks for the schema itself."""
    finder = _SchemaFields()
    visit(document, finder)
    return [GraphQLError(INTROSPECTION, node) for node in finder.found]


class _SchemaFields(Visitor):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[FieldNode] = []

    def enter_field(self, node: FieldNode, *_: object) -> None:
        if node.name.value in ("__schema", "__type"):
            self.found.append(node)


def _operation(document: DocumentNode, name: str | None) -> OperationDefinitionNode:
    """Return the operation to run. Raises BadRequest when it isn't clear which."""
    held = [node for node in document.definitions if isinstance(node, OperationDefinitionNode)]
    named = [node for node in held if not name or (node.name and node.name.value == name)]
    if len(named) == 1:
        return named[0]
    unknown = f'Unknown operation named "{name}".'
    message = unknown if name else "Must provide operation name if query contains multiple operations."
    raise BadRequest([_error(message, "OPERATION_RESOLUTION_FAILURE")])


def _root_fields(document: DocumentNode, operation: OperationDefinitionNode) -> set[str]:
    """Return the names of the fields that an operation asks the root for, through its fragments too."""
    if operation.operation is not OperationType.QUERY:
        return {"a mutation"}
    fragments = {n.name.value: n for n in document.definitions if isinstance(n, FragmentDefinitionNode)}
    names: set[str] = set()
    waiting: list[SelectionSetNode] = [operation.selection_set]
    while waiting:
        for node in waiting.pop().selections:
            if isinstance(node, FieldNode):
                names.add(node.name.value)
            elif isinstance(node, InlineFragmentNode):
                waiting.append(node.selection_set)
            elif isinstance(node, FragmentSpreadNode):
                waiting.append(fragments[node.name.value].selection_set)
    return names


def _outcome(result: ExecutionResult) -> dict[str, Any]:
    if not result.errors:
        return {"data": result.data}
    return {"errors": [_failure(error) for error in result.errors], "data": result.data}


def _failure(error: GraphQLError) -> dict[str, Any]:
    cause = error.original_error
    if isinstance(cause, Refused):
        return {"message": cause.message, "path": error.path, "extensions": {"code": "RUNPOD"}}
    log.error("a GraphQL field failed: %s", error.path, exc_info=cause or error)
    return {"message": MASKED, "path": error.path, "extensions": {"code": "INTERNAL_SERVER_ERROR"}}


def _error(message: str, code: str, at: GraphQLError | None = None) -> dict[str, Any]:
    places = [{"line": place.line, "column": place.column} for place in (at.locations or ())] if at else []
    return {"message": message, **({"locations": places} if places else {}), "extensions": {"code": code}}
