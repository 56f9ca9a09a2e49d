"""The composite resource: up to 25 calls in one, later ones using what earlier ones answered.

Modelled from the vendor's published material; not certified.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, unquote, urlsplit

from isthmus.sandbox.platform.calls import Answer, Call, Router, split
from isthmus.sandbox.platform.errors import ApiError, halted

if TYPE_CHECKING:
    from isthmus.sandbox.platform.box import PlatformSandbox

MAX_PARTS = 25
_REFERENCE = re.compile(r"@\{([^}]+)\}")
_NAME = re.compile(r"[A-Za-z0-9_]+")
_STEP = re.compile(r"([^.\[\]]+)|\[(\d+)\]")
_UNDONE = "The transaction was rolled back since another operation in the same transaction failed."


class _RollBack(Exception):
    """Undo the whole composite call."""


def register(router: Router) -> None:
    """Add the addresses of this module."""
    router.add("composite", POST=_composite)
    router.add("composite/batch", POST=_batch)


def _composite(box: PlatformSandbox, call: Call, _: dict[str, str]) -> Answer:
    document = call.document()
    parts = document.get("compositeRequest")
    if not isinstance(parts, list) or not parts:
        raise ApiError(400, "JSON_PARSER_ERROR", "compositeRequest must be a list of subrequests")
    if len(parts) > MAX_PARTS:
        raise ApiError(400, "LIMIT_EXCEEDED", f"The maximum number of subrequests is {MAX_PARTS}")
    _check_names(parts)
    results: list[dict[str, Any]] = []
    if not document.get("allOrNone", False):
        for part in parts:
            results.append(_run(box, call, part, results))
        return Answer(200, {"compositeResponse": results})
    try:
        with box.store.transaction(call.origin):
            for part in parts:
                results.append(_run(box, call, part, results))
                if results[-1]["httpStatusCode"] >= 300:
                    raise _RollBack
    except _RollBack:
        results = _undone(parts, results[-1])
    return Answer(200, {"compositeResponse": results})


def _batch(box: PlatformSandbox, call: Call, _: dict[str, str]) -> Answer:
    """Calls that know nothing of each other, in their order. haltOnError: those after a failure are not carried out."""
    document = call.document()
    parts = document.get("batchRequests")
    if not isinstance(parts, list) or not 0 < len(parts) <= MAX_PARTS:
        raise ApiError(400, "JSON_PARSER_ERROR", f"batchRequests must be a list of 1 to {MAX_PARTS} subrequests")
    results: list[dict[str, Any]] = []
    failed = False
    for part in parts:
        if failed and document.get("haltOnError", False):
            body = ApiError(412, "BATCH_PROCESSING_HALTED", "Batch processing halted per request").body()
            results.append({"statusCode": 412, "result": body})
            continue
        done = _run(box, call, _of_batch(call, part), [])
        results.append({"statusCode": done["httpStatusCode"], "result": done["body"]})
        failed = failed or done["httpStatusCode"] >= 300
    return Answer(200, {"hasErrors": failed, "results": results})


def _of_batch(call: Call, part: dict[str, Any]) -> dict[str, Any]:
    """A part of a batch as one of a composite call; its address may leave out what comes before the version."""
    url = str(part.get("url", ""))
    whole = url if url.startswith("/services") else f"{call.base.rpartition('/')[0]}/{url.lstrip('/')}"
    return {"method": part.get("method", "GET"), "url": whole, "body": part.get("richInput"), "referenceId": ""}


def _check_names(parts: list[Any]) -> None:
    names = [part.get("referenceId") if isinstance(part, dict) else None for part in parts]
    if not all(isinstance(name, str) and _NAME.fullmatch(name) for name in names):
        raise ApiError(400, "JSON_PARSER_ERROR", "every subrequest needs a referenceId of letters and digits")
    if len(set(names)) != len(names):
        raise ApiError(400, "INVALID_INPUT", "referenceIds must be unique")


def _undone(parts: list[dict[str, Any]], failed: dict[str, Any]) -> list[dict[str, Any]]:
    """All-or-none after a failure: its own error stays, every other part was rolled back or never ran."""
    body = halted(_UNDONE).body()
    return [
        failed
        if part["referenceId"] == failed["referenceId"]
        else {"body": body, "httpHeaders": {}, "httpStatusCode": 400, "referenceId": part["referenceId"]}
        for part in parts
    ]


def _run(box: PlatformSandbox, outer: Call, part: dict[str, Any], earlier: list[dict[str, Any]]) -> dict[str, Any]:
    try:
        answer = box.answer(_call(outer, part, earlier))
    except ApiError as exc:
        answer = Answer(exc.status, exc.body())
    return {
        "body": answer.body,
        "httpHeaders": answer.headers,
        "httpStatusCode": answer.status,
        "referenceId": part["referenceId"],
    }


def _call(outer: Call, part: dict[str, Any], earlier: list[dict[str, Any]]) -> Call:
    by_name = {result["referenceId"]: result for result in earlier}
    url = urlsplit(str(_filled(str(part.get("url", "")), by_name)))
    version, path = split(unquote(url.path))
    if path.rstrip("/") in ("composite", "composite/batch"):
        raise ApiError(400, "INVALID_INPUT", "a composite call cannot hold another one")
    own = {str(k).lower(): str(v) for k, v in (part.get("httpHeaders") or {}).items()}
    options = outer.headers.get("sforce-call-options")
    headers = {**({"sforce-call-options": options} if options else {}), **own}
    body = _filled(part.get("body"), by_name)
    raw = b"" if body is None else json.dumps(body).encode()
    params = dict(parse_qsl(url.query, keep_blank_values=True))
    return Call(str(part.get("method", "GET")).upper(), version, path, params, headers, raw)


def _filled(value: Any, by_name: dict[str, dict[str, Any]]) -> Any:
    """The value with every @{name.path} replaced from earlier answers."""
    if isinstance(value, dict):
        return {key: _filled(inner, by_name) for key, inner in value.items()}
    if isinstance(value, list):
        return [_filled(inner, by_name) for inner in value]
    if not isinstance(value, str):
        return value
    whole = _REFERENCE.fullmatch(value)
    if whole:
        return _look_up(whole[1], by_name)
    return _REFERENCE.sub(lambda match: str(_look_up(match[1], by_name)), value)


def _look_up(path: str, by_name: dict[str, dict[str, Any]]) -> Any:
    name = re.split(r"[.\[]", path, maxsplit=1)[0]
    result = by_name.get(name)
    found: Any = result["body"] if result is not None and result["httpStatusCode"] < 300 else None
    for key, index in _STEP.findall(path[len(name) :]):
        if key and isinstance(found, dict):
            found = found.get(key)
        elif index and isinstance(found, list) and int(index) < len(found):
            found = found[int(index)]
        else:
            found = None
    if found is None:
        raise halted(f"Invalid reference specified. No value for {path} found in {name}")
    return found
