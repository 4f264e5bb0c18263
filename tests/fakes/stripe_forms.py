"""Stripe's way of sending structures: form fields whose names have brackets, judged by the OpenAPI document."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

from fakes.contract import Contract, Operation

if TYPE_CHECKING:
    from collections.abc import Mapping

FORM = "application/x-www-form-urlencoded"


def read_fields(text: str) -> dict[str, Any]:
    """``a[b][0]=c`` as ``{"a": {"b": ["c"]}}``; every value is text.

    Raises:
        ValueError: it is no form, a name is no path, or a name is both a value and a structure.
    """
    fields: dict[str, Any] = {}
    for name, value in parse_qsl(text, keep_blank_values=True, strict_parsing=bool(text)):
        if not re.fullmatch(r"[^\[\]]+(\[[^\[\]]+\])*", name):
            raise ValueError(f"{name} is no name of a parameter")
        *outer, last = re.findall(r"[^\[\]]+", name)
        place: Any = fields
        for part in outer:
            place = place.setdefault(part, {}) if isinstance(place, dict) else None
        if not isinstance(place, dict) or last in place:
            raise ValueError(f"{name} is given twice")
        place[last] = value
    return {name: _with_lists(value) for name, value in fields.items()}


def _with_lists(node: Any) -> Any:
    if not isinstance(node, dict):
        return node
    inside = {name: _with_lists(value) for name, value in node.items()}
    is_list = list(inside) == [str(number) for number in range(len(inside))]
    return list(inside.values()) if is_list else inside


class FormContract(Contract):
    """A contract whose queries and bodies are nested forms."""

    def read_body(self, operation: Operation, text: str) -> dict[str, Any]:
        """The body's fields with their types. Raises ValueError when it is no form."""
        content = operation.document.get("requestBody", {}).get("content", {})
        return self._read(text, content.get(FORM, {}).get("schema", {"type": "object"}))

    def read_query(self, operation: Operation, query: str) -> dict[str, Any]:
        """The query's fields with their types. Raises ValueError when it is no form."""
        return self._read(query, {"type": "object", "properties": self._query_schemas(operation)})

    def request_problems(
        self, operation: Operation, query: str, headers: Mapping[str, str], document: object
    ) -> list[str]:
        """As in ``Contract``; the query is a nested form too."""
        problems = super().request_problems(operation, "", headers, document)
        try:
            fields = self.read_query(operation, query)
        except ValueError as error:
            return [*problems, f"the query cannot be read: {error}"]
        schema = {"type": "object", "properties": self._query_schemas(operation), "additionalProperties": False}
        return [*problems, *self._problems(schema, fields, "query")]

    def _query_schemas(self, operation: Operation) -> dict[str, Any]:
        parameters = [self._resolve(parameter) for parameter in operation.document.get("parameters", [])]
        return {parameter["name"]: parameter["schema"] for parameter in parameters if parameter["in"] == "query"}

    def _read(self, text: str, schema: dict[str, Any]) -> dict[str, Any]:
        return dict(self._typed(read_fields(text), schema))

    def _typed(self, value: Any, schema: Mapping[str, Any]) -> Any:
        """Text as the number, truth value or structure the schema wants; what does not fit stays text."""
        schema = self._resolve(dict(schema))
        if "oneOf" in schema:
            schema = next(
                (each for each in schema["oneOf"] if (each["type"] == "object") == isinstance(value, dict)), {}
            )
        if isinstance(value, dict):
            named, others = schema.get("properties", {}), schema.get("additionalProperties", {})
            others = others if isinstance(others, dict) else {}
            return {name: self._typed(inner, named.get(name, others)) for name, inner in value.items()}
        if isinstance(value, list):
            return [self._typed(inner, schema.get("items", {})) for inner in value]
        if schema.get("type") == "integer" and re.fullmatch(r"-?[0-9]{1,18}", value):
            return int(value)
        if schema.get("type") == "boolean" and value in {"true", "false"}:
            return value == "true"
        return value
