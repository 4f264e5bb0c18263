"""A service's OpenAPI document as a judge of requests and answers."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from datetime import datetime
from functools import cache, cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlsplit

from jsonschema import Draft202012Validator, FormatChecker
from referencing import Registry
from referencing.jsonschema import DRAFT202012

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_FOLDER = Path(__file__).parent / "contracts"
_FORMATS = FormatChecker(formats=())


@_FORMATS.checks("date-time", raises=ValueError)
def _is_date_time(value: object) -> bool:
    return not isinstance(value, str) or datetime.fromisoformat(value).tzinfo is not None


@_FORMATS.checks("uri")
def _is_uri(value: object) -> bool:
    return not isinstance(value, str) or bool(urlsplit(value).scheme)


@dataclass(frozen=True, slots=True)
class Operation:
    """One method of one path, and what the path said."""

    name: str
    document: Mapping[str, Any]
    path_parameters: Mapping[str, str]


class Contract:
    """An OpenAPI 3.1 document; the subset of it that the documents here use."""

    def __init__(self, name: str) -> None:
        self.document: dict[str, Any] = json.loads((_FOLDER / f"{name}.openapi.json").read_text("utf-8"))
        self._registry = Registry().with_resource("contract", DRAFT202012.create_resource(self.document))
        self._validator = cache(self._make_validator)

    @property
    def models(self) -> dict[str, dict[str, Any]]:
        """The models the service offers, with their prices."""
        return dict(self.document["info"]["x-models"])

    @cached_property
    def _routes(self) -> list[tuple[str, re.Pattern[str], dict[str, Any]]]:
        prefix = urlsplit(self.document["servers"][0]["url"]).path
        return [
            (method.upper(), re.compile(_pattern(prefix + path)), operation)
            for path, methods in self.document["paths"].items()
            for method, operation in methods.items()
        ]

    def find(self, method: str, path: str) -> Operation | None:
        """The operation that answers ``path``, which has no query any more."""
        for known_method, pattern, operation in self._routes:
            match = pattern.fullmatch(path)
            if match and known_method == method:
                return Operation(operation["operationId"], operation, match.groupdict())
        return None

    def request_problems(
        self, operation: Operation, query: str, headers: Mapping[str, str], document: object
    ) -> list[str]:
        """Everything wrong with a request; ``document`` is its body as JSON, or as a form's fields."""
        given = {
            "path": operation.path_parameters,
            "query": dict(parse_qsl(query, keep_blank_values=True)),
            "header": {name.lower(): value for name, value in headers.items()},
        }
        return [
            *self._parameter_problems(operation, given),
            *self._body_problems(operation, given["header"].get("content-type", ""), document),
        ]

    def answer_problems(self, operation: Operation, status: int, document: object) -> list[str]:
        """Everything wrong with an answer of ours."""
        answer = self._resolve(operation.document["responses"].get(str(status), {}))
        if not answer:
            return [f"{operation.name} never answers {status}"]
        media = next(iter(answer.get("content", {}).values()), {})
        return list(self._problems(media.get("schema", True), document, f"{operation.name} {status}"))

    def schema_problems(self, name: str, document: object) -> list[str]:
        """Everything that keeps ``document`` from being a ``components/schemas/{name}``."""
        return list(self._problems({"$ref": f"#/components/schemas/{name}"}, document, name))

    def _parameter_problems(self, operation: Operation, given: Mapping[str, Mapping[str, str]]) -> Iterator[str]:
        parameters = [self._resolve(parameter) for parameter in operation.document.get("parameters", [])]
        for parameter in parameters:
            name, place = parameter["name"], parameter["in"]
            value = given[place].get(name.lower() if place == "header" else name)
            if value is None:
                if parameter.get("required"):
                    yield f"{place} parameter {name} is missing"
            else:
                yield from self._problems(parameter["schema"], _typed(value, parameter["schema"]), f"{place} {name}")
        unknown = given["query"].keys() - {parameter["name"] for parameter in parameters if parameter["in"] == "query"}
        yield from (f"query parameter {name} is unknown" for name in sorted(unknown))

    def _body_problems(self, operation: Operation, content_type: str, document: object) -> Iterator[str]:
        content = operation.document.get("requestBody", {}).get("content", {})
        media_type = content_type.partition(";")[0].strip().lower()
        if content and media_type not in content:
            yield f"content type {media_type or 'missing'} is none of {', '.join(content)}"
        elif content:
            yield from self._problems(content[media_type]["schema"], document, "body")

    def _problems(self, schema: object, document: object, place: str) -> Iterator[str]:
        for error in self._validator(json.dumps(schema)).iter_errors(document):
            where = "".join(f"[{part!r}]" for part in error.absolute_path)
            yield f"{place}{where}: {error.message[:300]}"

    def _make_validator(self, schema: str) -> Draft202012Validator:
        inside = json.loads(schema.replace('"#/components', '"contract#/components'))
        return Draft202012Validator(inside, registry=self._registry, format_checker=_FORMATS)

    def _resolve(self, node: dict[str, Any]) -> dict[str, Any]:
        if "$ref" not in node:
            return node
        found: Any = self.document
        for part in node["$ref"].removeprefix("#/").split("/"):
            found = found[part]
        return dict(found)


def _pattern(path: str) -> str:
    return "".join(
        f"(?P<{part[1:-1]}>[^/]+?)" if part.startswith("{") else re.escape(part) for part in re.split(r"({\w+})", path)
    )


def _typed(text: str, schema: Mapping[str, Any]) -> object:
    """A parameter is text on the wire; the schema may want a number."""
    reader = {"integer": int, "number": float}.get(schema.get("type", ""), str)
    try:
        return reader(text)
    except ValueError:
        return text
