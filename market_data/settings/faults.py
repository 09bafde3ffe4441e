"""What is wrong with a file that people write, in the words of the file. Pure."""

from __future__ import annotations

from datetime import date
from typing import Any, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails


def describe_faults(error: ValidationError, model: type[BaseModel]) -> str:
    """Return a line for each fault of a document that should be a `model`: its place, what is wrong, what is right."""
    faults = error.errors()
    # a list whose items are all at fault is also called too short: the items say enough
    parents = {fault["loc"][:-1] for fault in faults if fault["loc"]}
    told = [fault for fault in faults if not (fault["type"] == "too_short" and fault["loc"] in parents)]
    return "\n".join(f"  {_place(fault['loc'])}: {_describe_fault(fault, model)}" for fault in told)


def _place(location: tuple[int | str, ...]) -> str:
    keys = ".".join(part for part in location if isinstance(part, str))
    items = "".join(f", item {part + 1}" for part in location if isinstance(part, int))
    return f"{keys}{items}" or "the whole file"


def _describe_fault(fault: ErrorDetails, model: type[BaseModel]) -> str:
    """Say in the words of the file what pydantic says in those of Python."""
    kind, value = fault["type"], fault["input"]
    found = f"found {'nothing' if value is None else value if isinstance(value, date) else repr(value)}"
    if kind == "extra_forbidden":
        fields = _model_at(model, fault["loc"][:-1]).model_fields
        names = (info.alias or name for name, info in fields.items())
        return f"unknown key. Known keys: {', '.join(names)}"
    if kind == "greater_than_equal" and isinstance(value, date):
        return f"must not be before {fault['ctx']['ge']}, the vendor's first day; {found}"
    texts = {
        "missing": "is missing",
        "too_short": "is empty; name at least one",
        "tuple_type": f"must be a list, such as [a, b]; {found}",
        "string_type": f"must be text, in quotes if need be; {found}",
        "greater_than_equal": f"must be {fault.get('ctx', {}).get('ge')} or more; {found}",
    }
    if kind in {"model_type", "dict_type", "model_attributes_type"}:
        return f"must be keys with values (`key: value`); {found}"
    if kind.startswith(("int_", "float_")):
        return f"must be a {'whole ' if kind.startswith('int_') else ''}number; {found}"
    if kind.startswith("date_"):
        return f"must be a date, such as 2019-03-30; {found}"
    return texts.get(kind) or fault["msg"].removeprefix("Value error, ")


def _model_at(model: type[BaseModel], location: tuple[int | str, ...]) -> type[BaseModel]:
    """Return the model of what is at a place of a document; keys of people's own (a venue) and items change nothing."""
    for part in location:
        fields = {info.alias or name: info for name, info in model.model_fields.items()}
        if part in fields and (inner := _inner_model(fields[str(part)].annotation)) is not None:
            model = inner
    return model


def _inner_model(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    found = (_inner_model(argument) for argument in get_args(annotation))
    return next((inner for inner in found if inner is not None), None)
