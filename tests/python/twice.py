"""Calls of an SDK, each made twice: directly and through the gateway.

A program of cases ends with `serve(...)` and runs as

    PROGRAM DIRECT_URL DIRECT_KEY GATEWAY_URL GATEWAY_KEY

It reads the name of a case a line, and answers each with a line: a JSON list of what
was seen directly and what was seen through the gateway. Nothing is normalised but what
a program says of itself: the upstream answers the same bytes to the same request, so
the two have to be equal.
"""

import asyncio
import inspect
import json
import sys


# One for all cases: LangChain keeps connections from one model to the next.
LOOP = asyncio.new_event_loop()


def failure(error):
    """What a program of a user can tell of an exception."""
    seen = {"error": type(error).__name__, "text": str(error)}
    for name in ("status_code", "body", "code", "type", "param"):
        if hasattr(error, name):
            seen[name] = getattr(error, name)
    response = getattr(error, "response", None)
    if response is not None:
        seen["retry_after"] = response.headers.get("retry-after")
    return seen


def observe(case, client_of, url, key):
    """A case gives back what it saw, or yields it piece by piece, so that what came before
    an exception is seen too."""
    pieces = []
    try:
        if inspect.iscoroutinefunction(case):
            return {"saw": LOOP.run_until_complete(awaited(case, client_of, url, key))}
        client = client_of(url, key)
        if not inspect.isgeneratorfunction(case):
            return {"saw": case(client)}
        pieces.extend(case(client))
        return {"saw": pieces}
    except Exception as error:  # Whatever it is, both ways have to raise it.
        return {**failure(error), "before": pieces}


async def awaited(case, client_of, url, key):
    client = client_of(url, key, is_async=True)
    try:
        return await case(client)
    finally:
        if hasattr(client, "close"):
            await client.close()


def serve(cases, client_of):
    """Answers the lines of stdin with `cases["case_" + line]`, called with a client."""
    direct, gateway = sys.argv[1:3], sys.argv[3:5]
    for line in sys.stdin:
        case = cases["case_" + line.strip()]
        pair = [observe(case, client_of, *direct), observe(case, client_of, *gateway)]
        print(json.dumps(pair), flush=True)
    LOOP.run_until_complete(LOOP.shutdown_asyncgens())
    LOOP.close()


def dumped(items):
    """The SDK's objects, one after the other."""
    for item in items:
        yield item.model_dump(mode="json")


def large_image():
    """Of 1 MiB in base64; what is in it, no one looks at."""
    return "iVBORw0KGgo" + "Az9" * 349_521 + "=="
