"""What the official OpenAI SDK sees of a call that the gateway translates.

    translated.py CASE GATEWAY_URL GATEWAY_KEY

Prints one observation as JSON.
"""

import asyncio
import json
import sys

import openai

import twice

MODEL = "claude-test"
TOOLS = [
    {
        "type": "function",
        "function": {
            "name": "lookup",
            "description": "Looks a word up.",
            "parameters": {
                "type": "object",
                "properties": {"word": {"type": "string"}},
                "required": ["word"],
            },
        },
    }
]


def chat(client, messages, **more):
    return client.chat.completions.create(model=MODEL, messages=messages, **more)


def hello(client, **more):
    system = {"role": "system", "content": "Be brief."}
    return chat(client, [system, {"role": "user", "content": "Grüße, 世界 👋🏽"}], **more)


def case_chat(client):
    return hello(client, temperature=0.1, max_completion_tokens=50).model_dump(mode="json")


def case_vision(client):
    content = [
        {"type": "text", "text": "What is this?"},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64," + twice.large_image()}},
    ]
    return chat(client, [{"role": "user", "content": content}]).model_dump(mode="json")


def case_tools(client):
    """A whole round: the call, and the answer that is sent back with its result."""
    messages = [{"role": "user", "content": "Look ß up."}]
    first = chat(client, messages, tools=TOOLS, tool_choice="required")
    message = first.choices[0].message
    messages.append(message.model_dump(mode="json"))
    messages += [
        {"role": "tool", "tool_call_id": call.id, "content": "sharp s"} for call in message.tool_calls
    ]
    second = chat(client, messages, tools=TOOLS)
    return [first.model_dump(mode="json"), second.model_dump(mode="json")]


def chunks(stream):
    return [chunk.model_dump(mode="json") for chunk in stream]


def case_stream(client):
    return chunks(hello(client, stream=True))


def case_stream_usage(client):
    return chunks(hello(client, stream=True, stream_options={"include_usage": True}))


def case_stream_helper(client):
    """The SDK's own putting together of a stream."""
    messages = [{"role": "user", "content": "Look ß up."}]
    with client.chat.completions.stream(model=MODEL, messages=messages, tools=TOOLS) as stream:
        for _ in stream:
            pass
        return stream.get_final_completion().model_dump(mode="json")


def has_two_pieces(chunks):
    return sum(bool(chunk.choices[0].delta.content) for chunk in chunks) == 2


def case_abort(client):
    """Leaves after two pieces of text, which is all that the upstream gives."""
    stream = hello(client, stream=True)
    seen = []
    while not has_two_pieces(seen):
        seen.append(next(stream))
    stream.close()
    return chunks(seen)


def case_async_abort(client):
    async def abort():
        async with openai.AsyncOpenAI(base_url=client.base_url, api_key=client.api_key, max_retries=0) as same:
            stream = await hello(same, stream=True)
            seen = []
            while not has_two_pieces(seen):
                seen.append(await anext(stream))
            await stream.close()
            return chunks(seen)

    return asyncio.run(abort())


def case_untranslatable(client):
    return hello(client, n=2)


def case_completions(client):
    return client.completions.create(model=MODEL, prompt="x")


def case_embeddings(client):
    return client.embeddings.create(model=MODEL, input="x")


def main():
    name, url, key = sys.argv[1:]
    client = openai.OpenAI(base_url=url, api_key=key, max_retries=0, timeout=60.0)
    try:
        seen = {"saw": globals()["case_" + name](client)}
    except openai.APIStatusError as error:
        seen = {
            "error": type(error).__name__,
            "status": error.status_code,
            "body": error.body,
            "param": error.param,
            "retry_after": error.response.headers.get("retry-after"),
        }
    except openai.APIError as error:
        seen = {"error": type(error).__name__, "body": error.body}
    json.dump(seen, sys.stdout)


if __name__ == "__main__":
    main()
