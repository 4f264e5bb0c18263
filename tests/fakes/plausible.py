"""A valid answer to any JSON Schema, by walking it."""

from __future__ import annotations

import re
import re._constants as regex
import re._parser as regex_parser
from math import ceil
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

_WORDS = "A quiet field at dawn, seen from the gate where the road begins. "


def plausible(schema: Mapping[str, Any], root: Mapping[str, Any] | None = None) -> Any:
    """The plainest value that ``schema`` allows: first choices, smallest numbers, all members."""
    root = schema if root is None else root
    if "$ref" in schema:
        return plausible(_follow(schema["$ref"], root) | {k: v for k, v in schema.items() if k != "$ref"}, root)
    for key in ("const", "default"):
        if key in schema:
            return schema[key]
    if "enum" in schema:
        return schema["enum"][0]
    for key in ("anyOf", "oneOf"):
        if key in schema:
            return plausible(schema[key][0], root)
    if "allOf" in schema:
        return plausible(_merged(schema, root), root)
    return _MAKERS[_type_of(schema)](schema, root)


def standard_schema(schema: Any) -> Any:
    """Gemini's dialect (types in upper case, ``nullable``, numbers as text) as JSON Schema."""
    if isinstance(schema, list):
        return [standard_schema(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    members = {_camel(name): value for name, value in schema.items()}
    made = {name: _standard_member(name, value) for name, value in members.items() if name not in _NO_KEYWORDS}
    if members.get("nullable"):
        return {"anyOf": [made, {"type": "null"}]}
    return made


_NO_KEYWORDS = {"nullable", "propertyOrdering", "example"}
_COUNTS = {"minItems", "maxItems", "minLength", "maxLength", "minProperties", "maxProperties"}


def _standard_member(name: str, value: Any) -> Any:
    if name == "type" and isinstance(value, str):
        return value.lower()
    if name in _COUNTS:
        return int(value)
    if name == "properties":
        return {key: standard_schema(item) for key, item in value.items()}
    return standard_schema(value) if name in {"items", "anyOf"} else value


def _camel(name: str) -> str:
    return re.sub(r"_([a-z])", lambda match: match[1].upper(), name)


def _follow(reference: str, root: Mapping[str, Any]) -> dict[str, Any]:
    found: Any = root
    for part in filter(None, reference.removeprefix("#").split("/")):
        found = found[part]
    return dict(found)


def _merged(schema: Mapping[str, Any], root: Mapping[str, Any]) -> dict[str, Any]:
    made: dict[str, Any] = {name: value for name, value in schema.items() if name != "allOf"}
    for part in schema["allOf"]:
        known = _follow(part["$ref"], root) if "$ref" in part else part
        both = {**made.get("properties", {}), **known.get("properties", {})}
        made = {**made, **known, **({"properties": both} if both else {})}
    return made


def _type_of(schema: Mapping[str, Any]) -> str:
    kind = schema.get("type")
    if kind is None:
        return "object" if "properties" in schema else "array" if "items" in schema else "string"
    return str(next(item for item in kind if item != "null") if isinstance(kind, list) else kind)


def _object(schema: Mapping[str, Any], root: Mapping[str, Any]) -> dict[str, Any]:
    return {name: plausible(member, root) for name, member in schema.get("properties", {}).items()}


def _array(schema: Mapping[str, Any], root: Mapping[str, Any]) -> list[Any]:
    fixed = [plausible(item, root) for item in schema.get("prefixItems", [])]
    count = max(schema.get("minItems", min(1, schema.get("maxItems", 1))), len(fixed))
    item = schema.get("items", {"type": "string"})
    return fixed + [plausible(item, root) for _ in range(count - len(fixed))]


def _integer(schema: Mapping[str, Any], _root: Mapping[str, Any]) -> int:
    return ceil(_number(schema, _root))


def _number(schema: Mapping[str, Any], _root: Mapping[str, Any]) -> float:
    step = schema.get("multipleOf", 1)
    if "minimum" in schema:
        return ceil(schema["minimum"] / step) * step
    if "exclusiveMinimum" in schema:
        lowest = schema["exclusiveMinimum"]
        return min(
            lowest + step, (lowest + schema.get("maximum", schema.get("exclusiveMaximum", lowest + 2 * step))) / 2
        )
    return min(step, schema.get("maximum", step), schema.get("exclusiveMaximum", 2 * step) - step)


def _string(schema: Mapping[str, Any], _root: Mapping[str, Any]) -> str:
    if "pattern" in schema:
        return _matching(regex_parser.parse(schema["pattern"]))
    if schema.get("format") in _FORMATS:
        return _FORMATS[schema["format"]]
    shortest, longest = schema.get("minLength", 0), schema.get("maxLength", 60)
    length = max(shortest, min(longest, 60))
    return (_WORDS * (length // len(_WORDS) + 1))[:length].rstrip().ljust(shortest, ".")


_FORMATS = {
    "date-time": "2026-11-23T12:00:00Z",
    "date": "2026-11-23",
    "time": "12:00:00Z",
    "email": "someone@example.com",
    "uri": "https://example.com/",
    "uuid": "00000000-0000-4000-8000-000000000000",
}

_MAKERS: Mapping[str, Callable[[Mapping[str, Any], Mapping[str, Any]], Any]] = {
    "object": _object,
    "array": _array,
    "integer": _integer,
    "number": _number,
    "string": _string,
    "boolean": lambda _schema, _root: False,
    "null": lambda _schema, _root: None,
}


def _matching(parsed: Iterable[tuple[Any, Any]]) -> str:
    """The shortest text that a regular expression, parsed, matches."""
    return "".join(_piece(kind, value) for kind, value in parsed)


def _piece(kind: Any, value: Any) -> str:
    if kind is regex.LITERAL:
        return chr(value)
    if kind is regex.IN:
        return _member(value)
    if kind in (regex.MAX_REPEAT, regex.MIN_REPEAT):
        least, _most, item = value
        return _matching(item) * least
    if kind is regex.SUBPATTERN:
        return _matching(value[-1])
    if kind is regex.BRANCH:
        return _matching(value[1][0])
    return "a" if kind in (regex.ANY, regex.NOT_LITERAL) else ""


_CATEGORIES = {regex.CATEGORY_DIGIT: "1", regex.CATEGORY_SPACE: " "}


def _member(choices: list[tuple[Any, Any]]) -> str:
    kind, value = choices[0]
    if kind is regex.LITERAL:
        return chr(value)
    if kind is regex.RANGE:
        return chr(value[0])
    if kind is regex.CATEGORY:
        return _CATEGORIES.get(value, "a")
    refused = {chr(item) for name, item in choices[1:] if name is regex.LITERAL}
    return next(letter for letter in "a1 _" if letter not in refused)
