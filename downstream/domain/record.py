"""The base of every record that is kept in a file."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, ValidationError


class Record(BaseModel):
    """Immutable; fields it does not know are kept and written back."""

    model_config = ConfigDict(frozen=True, extra="allow", strict=True, use_attribute_docstrings=True)

    def to_json(self) -> bytes:
        """The record as a readable file; fields never given are left out."""
        return self.model_dump_json(indent=2, exclude_defaults=True).encode() + b"\n"


def explain(error: ValidationError) -> str:
    """Says what is wrong with a record in one line, field by field, without repeating any value."""
    problems = []
    for problem in error.errors(include_url=False, include_context=False, include_input=False):
        field = ".".join(str(part) for part in problem["loc"])
        message = problem["msg"].removeprefix("Value error, ")
        problems.append(f"{field}: {message}" if field else message)
    return "; ".join(problems)
