"""Google's own descriptions of its APIs, as google-api-python-client carries them."""

import json
from collections.abc import Iterator, Mapping
from importlib.resources import files
from typing import Any

_KINDS: Mapping[str, type | tuple[type, ...]] = {
    "any": object,
    "array": list,
    "boolean": bool,
    "integer": int,
    "number": (int, float),
    "object": dict,
    "string": str,
}


def problems(value: object, *, api: str, schema: str) -> list[str]:
    """List where a value is not what an API's schema says, field by field."""
    documents = files("googleapiclient.discovery_cache") / "documents"
    schemas = json.loads((documents / f"{api}.json").read_text())["schemas"]
    return list(_problems(value, {"$ref": schema}, schemas, schema))


def _problems(
    value: object, wanted: Mapping[str, Any], schemas: Mapping[str, Any], where: str
) -> Iterator[str]:
    if "$ref" in wanted:
        wanted = schemas[wanted["$ref"]]
    # Google writes large integers as texts, and reads both.
    kind = (int, str) if wanted.get("format") == "int64" else _KINDS[wanted["type"]]
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is int):
        yield f"{where} is {value!r}, expected {wanted['type']}"
        return
    if "enum" in wanted and value not in wanted["enum"]:
        yield f"{where} is {value!r}, expected one of {', '.join(wanted['enum'])}"
    if isinstance(value, list):
        for number, one in enumerate(value):
            yield from _problems(one, wanted["items"], schemas, f"{where}[{number}]")
    if isinstance(value, dict):
        for name, one in value.items():
            known = wanted.get("properties", {}).get(name) or wanted.get("additionalProperties")
            if known is None:
                yield f"{where} has no {name}"
            else:
                yield from _problems(one, known, schemas, f"{where}.{name}")
