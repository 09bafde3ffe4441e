"""What is wrong with a file that people write, in the words of the file. Pure."""

from __future__ import annotations

from datetime import date
from typing import Any, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

# What pydantic says behind a key that is itself at fault.
_KEY_ITSELF = "[key]"


def describe_faults(error: ValidationError, model: type[BaseModel]) -> str:
    """Return a line for each fault of a document that should be a `model`: its place, what is wrong, what is right."""
    faults = error.errors()
    # a list whose items are all at fault is also called too short: the items say enough
    parents = {fault["loc"][:-1] for fault in faults if fault["loc"]}
    told = [fault for fault in faults if not (fault["type"] == "too_short" and fault["loc"] in parents)]
    return "\n".join(f"  {_place(fault['loc'])}: {_describe_fault(fault, model)}" for fault in told)


def _place(location: tuple[int | str, ...]) -> str:
    """Return `venues.BINANCE.waivers, item 1, symbol` for a place."""
    text = ""
    for before, part in zip(("", *location), location, strict=False):
        if isinstance(part, int):
            text += f", item {part + 1}"
        elif part != _KEY_ITSELF:
            text += f", {part}" if isinstance(before, int) else f".{part}"
    return text.removeprefix(".") or "the whole file"


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
    context = fault.get("ctx", {})
    wanted = {
        "enum": f"one of {context.get('expected', '').replace(' or ', ', ')}",
        "greater_than": f"more than {context.get('gt', 0):g}",
        "greater_than_equal": f"{context.get('ge')} or more",
        "finite_number": "a number, and not without end",
        "tuple_type": "a list, such as [a, b]",
        "string_type": "text, in quotes if need be",
        "bool": "true or false",
        "int": "a whole number",
        "float": "a number",
        "date": "a date, such as 2019-03-30",
        **dict.fromkeys(("model_type", "dict_type", "model_attributes_type"), "keys with values (`key: value`)"),
    }
    texts = {"missing": "is missing", "too_short": "is empty; name at least one"}
    if what := wanted.get(kind) or wanted.get(kind.partition("_")[0]):
        return f"must be {what}; {found}"
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
