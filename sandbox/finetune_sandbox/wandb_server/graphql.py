"""Answers GraphQL without a schema: a resolver per root field, its value projected on what was asked for.

A resolver returns more than any client asks for, and a value may be a function of the field's arguments. A field which
it does not have is refused: that is how a new SDK's drift shows.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from graphql import GraphQLError, parse
from graphql.language import (
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    InlineFragmentNode,
    OperationDefinitionNode,
    SelectionSetNode,
    VariableNode,
)
from graphql.utilities import value_from_ast_untyped

Json = dict[str, Any]
Resolver = Callable[[Json], Any]

INTERFACES = {"ArtifactCollection": {"ArtifactSequence", "ArtifactPortfolio"}}


class Refused(Exception):
    """A request that the server understands and does not do; the message is for the client."""

    status = 400


class Conflict(Refused):
    """Something stands in the way that only the client can avoid."""

    status = 409


@dataclass(frozen=True, slots=True)
class Operation:
    """One parsed request."""

    document: DocumentNode
    definition: OperationDefinitionNode
    variables: Json

    @property
    def kind(self) -> str:
        """Query or mutation."""
        return self.definition.operation.value

    @property
    def name(self) -> str:
        """The operation's own name, empty if it has none."""
        return self.definition.name.value if self.definition.name else ""


def operation(query: str, name: str | None, variables: Mapping[str, Any] | None) -> Operation:
    """The operation of a request; an empty name is no name."""
    try:
        document = parse(query)
    except GraphQLError as error:
        raise Refused(str(error)) from error
    defined = [each for each in document.definitions if isinstance(each, OperationDefinitionNode)]
    chosen = [each for each in defined if not name or (each.name and each.name.value == name)]
    if len(chosen) != 1:
        raise Refused(f'Unknown operation named "{name or ""}".')
    defaults = {
        each.variable.name.value: value_from_ast_untyped(each.default_value, None)
        for each in chosen[0].variable_definitions or ()
        if each.default_value is not None
    }
    return Operation(document, chosen[0], {**defaults, **(variables or {})})


def answer(asked: Operation, resolvers: Mapping[str, Resolver]) -> Json:
    """The data of the response."""
    projection = Projection(asked)
    data: Json = {}
    for field in projection.fields(asked.definition.selection_set, None):
        root = field.name.value
        if root not in resolvers:
            raise Refused(f"The sandbox's W&B server does not know the {asked.kind} {root!r}.")
        value = resolvers[root](projection.arguments(field))
        data[_key(field)] = projection.value(value, field, root)
    return data


class Projection:
    """Cuts resolved values down to an operation's selections."""

    def __init__(self, asked: Operation) -> None:
        self._variables = asked.variables
        self._fragments = {
            each.name.value: each for each in asked.document.definitions if isinstance(each, FragmentDefinitionNode)
        }

    def value(self, value: Any, field: FieldNode, path: str) -> Any:
        """What the client sees of a value."""
        if callable(value):
            value = value(self.arguments(field))
        if field.selection_set is None or value is None:
            return value
        if isinstance(value, list | tuple):
            return [self.value(each, field, path) for each in value]
        return self._object(value, field.selection_set, path)

    def arguments(self, field: FieldNode) -> Json:
        """The field's arguments with the variables put in; absent variables are absent."""
        return {
            each.name.value: value_from_ast_untyped(each.value, self._variables)
            for each in field.arguments or ()
            if not (isinstance(each.value, VariableNode) and each.value.name.value not in self._variables)
        }

    def fields(self, selections: SelectionSetNode, typename: str | None) -> Iterator[FieldNode]:
        """The fields selected of an object of a type, through fragments and conditions."""
        for each in selections.selections:
            if not self._included(each):
                continue
            if isinstance(each, FieldNode):
                yield each
                continue
            fragment = self._fragments[each.name.value] if isinstance(each, FragmentSpreadNode) else each
            if not isinstance(fragment, FragmentDefinitionNode | InlineFragmentNode):
                raise Refused(f"Unexpected selection {fragment.kind}.")
            condition = fragment.type_condition.name.value if fragment.type_condition else typename
            if _applies(condition, typename):
                yield from self.fields(fragment.selection_set, typename)

    def _object(self, value: Json, selections: SelectionSetNode, path: str) -> Json:
        found: Json = {}
        for field in self.fields(selections, value.get("__typename")):
            name = field.name.value
            if name not in value:
                raise Refused(f"Cannot query field {name!r} on {path!r}: the sandbox's W&B server does not have it.")
            shown = self.value(value[name], field, f"{path}.{name}")
            found[_key(field)] = _merged(found.get(_key(field)), shown)
        return found

    def _included(self, node: Any) -> bool:
        for directive in node.directives or ():
            if directive.name.value not in {"include", "skip"}:
                raise Refused(f"Unknown directive @{directive.name.value}.")
            condition = value_from_ast_untyped(directive.arguments[0].value, self._variables)
            if bool(condition) != (directive.name.value == "include"):
                return False
        return True


def page(nodes: list[Json], arguments: Json, *, extra: Callable[[Json], Json] | None = None) -> Json:
    """A connection: the part of a list that `first` and `after` ask for, cursors being positions."""
    start = int(arguments.get("after") or 0)
    size = arguments.get("first")
    end = len(nodes) if size is None else min(len(nodes), start + int(size))
    edges = [
        {"node": node, "cursor": str(position), **(extra(node) if extra else {})}
        for position, node in enumerate(nodes[start:end], start + 1)
    ]
    info = {"__typename": "PageInfo", "endCursor": str(end) if edges else None, "hasNextPage": end < len(nodes)}
    return {"edges": edges, "pageInfo": info, "totalCount": len(nodes)}


def _key(field: FieldNode) -> str:
    return field.alias.value if field.alias else field.name.value


def _applies(condition: str | None, typename: str | None) -> bool:
    return typename is None or condition in {None, typename} or typename in INTERFACES.get(str(condition), set())


def _merged(old: Any, new: Any) -> Any:
    if isinstance(old, dict) and isinstance(new, dict):
        return {key: _merged(old.get(key), new.get(key, old.get(key))) for key in {**old, **new}}
    if isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        return [_merged(one, other) for one, other in zip(old, new, strict=True)]
    return new
