"""What the official Anthropic SDK sees of one call, directly and through the gateway.

    anthropic_sdk.py CASE DIRECT_URL DIRECT_KEY GATEWAY_URL GATEWAY_KEY

Prints a JSON list of two observations. Nothing is normalised: the upstream answers
the same bytes to the same request, so the two have to be equal.
"""

import json
import sys

import anthropic

MODEL = "claude-test"
MESSAGES = [{"role": "user", "content": "Grüße, 世界 👋🏽 — say \"hello\"\n\u2028."}]
IMAGE = {
    "role": "user",
    "content": [
        {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "iVBORw0KGgo="}},
        {"type": "text", "text": "What is this?", "cache_control": {"type": "ephemeral"}},
    ],
}
TOOLS = [
    {
        "name": "lookup",
        "description": "Looks a word up.",
        "input_schema": {
            "type": "object",
            "properties": {"word": {"type": "string", "enum": ["a", "ß", "世"]}},
            "required": ["word"],
        },
    }
]


def ask(messages=None, **more):
    return {"model": MODEL, "max_tokens": 100, "messages": messages or MESSAGES, **more}


def case_message(client):
    return client.messages.create(**ask(system="Be brief.", stop_sequences=["ß"])).model_dump(mode="json")


def case_vision(client):
    return client.messages.create(**ask([IMAGE])).model_dump(mode="json")


def case_tools(client):
    reply = client.messages.create(**ask(tools=TOOLS, tool_choice={"type": "any"}))
    return reply.model_dump(mode="json")


def case_events(client):
    stream = client.messages.create(**ask(), stream=True)
    return [event.model_dump(mode="json") for event in stream]


def case_stream(client):
    with client.messages.stream(**ask(tools=TOOLS)) as stream:
        texts = list(stream.text_stream)
        final = stream.get_final_message().model_dump(mode="json")
    return {"texts": texts, "final": final}


def case_count(client):
    return client.messages.count_tokens(model=MODEL, messages=MESSAGES).model_dump(mode="json")


def case_abort(client):
    stream = client.messages.create(**ask(), stream=True)
    seen = []
    for event in stream:
        seen.append(event.model_dump(mode="json"))
        if event.type == "content_block_delta":
            break
    stream.close()
    return seen


def observe(case, url, key):
    client = anthropic.Anthropic(base_url=url, api_key=key, max_retries=0, timeout=60.0)
    try:
        return {"saw": case(client)}
    except anthropic.APIStatusError as error:
        return {
            "error": type(error).__name__,
            "status": error.status_code,
            "body": error.body,
            "retry_after": error.response.headers.get("retry-after"),
        }
    finally:
        client.close()


def main():
    name, direct_url, direct_key, gateway_url, gateway_key = sys.argv[1:]
    case = globals()["case_" + name]
    pair = [observe(case, direct_url, direct_key), observe(case, gateway_url, gateway_key)]
    json.dump(pair, sys.stdout)


if __name__ == "__main__":
    main()
