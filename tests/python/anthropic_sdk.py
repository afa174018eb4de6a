"""What the official Anthropic SDK sees, directly and through the gateway; see twice.py."""

import asyncio

import anthropic

import twice
from twice import dumped

MODEL = "claude-test"
MESSAGES = [{"role": "user", "content": "Grüße, 世界 👋🏽 — say \"hello\"\n\u2028."}]
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
AT_A_TIME = 50


def ask(messages=None, **more):
    return {"model": MODEL, "max_tokens": 100, "messages": messages or MESSAGES, **more}


def case_message(client):
    return client.messages.create(**ask(system="Be brief.", stop_sequences=["ß"])).model_dump(mode="json")


def case_vision(client):
    source = {"type": "base64", "media_type": "image/png", "data": twice.large_image()}
    content = [
        {"type": "image", "source": source},
        {"type": "text", "text": "What is this?", "cache_control": {"type": "ephemeral"}},
    ]
    return client.messages.create(**ask([{"role": "user", "content": content}])).model_dump(mode="json")


def case_tools(client):
    reply = client.messages.create(**ask(tools=TOOLS, tool_choice={"type": "any"}))
    return reply.model_dump(mode="json")


def case_events(client):
    yield from dumped(client.messages.create(**ask(), stream=True))


def case_stream(client):
    """The SDK's own putting together of a stream."""
    with client.messages.stream(**ask(tools=TOOLS)) as stream:
        texts = list(stream.text_stream)
        final = stream.get_final_message().model_dump(mode="json")
    return {"texts": texts, "final": final}


def case_count(client):
    return client.messages.count_tokens(model=MODEL, messages=MESSAGES).model_dump(mode="json")


def case_wrong_key(client):
    return client.with_options(api_key="sk-wrong").messages.create(**ask())


def case_timeout(client):
    return client.with_options(timeout=1.0).messages.create(**ask())


def enough(events):
    """Whether there are two pieces of text, which is all that the upstream gives."""
    return sum(event.type == "content_block_delta" and event.delta.type == "text_delta" for event in events) == 2


def case_abort(client):
    stream = client.messages.create(**ask(), stream=True)
    seen = []
    while not enough(seen):
        seen.append(next(stream))
    stream.close()
    return list(dumped(seen))


async def case_async_message(client):
    return (await client.messages.create(**ask())).model_dump(mode="json")


async def case_async_events(client):
    stream = await client.messages.create(**ask(), stream=True)
    return [event.model_dump(mode="json") async for event in stream]


async def case_async_abort(client):
    stream = await client.messages.create(**ask(), stream=True)
    seen = []
    while not enough(seen):
        seen.append(await anext(stream))
    await stream.close()
    return list(dumped(seen))


async def case_at_a_time(client):
    """Each with an answer and counts of its own, by turns whole and as a stream."""

    async def one(at):
        usage = {"prompt": 200 + at, "completion": 50 + at, "cached": at, "cache_write": 2 * at}
        script = {"content": f"Answer {at}: ß世👋🏽", "usage": usage, "split": at % 7}
        asked = ask(extra_body={"upstream": script})
        if at % 2 == 0:
            return (await client.messages.create(**asked)).model_dump(mode="json")
        stream = await client.messages.create(**asked, stream=True)
        return [event.model_dump(mode="json") async for event in stream]

    return await asyncio.gather(*[one(at) for at in range(AT_A_TIME)])


def client_of(url, key, is_async=False):
    client = anthropic.AsyncAnthropic if is_async else anthropic.Anthropic
    return client(base_url=url, api_key=key, max_retries=0, timeout=60.0)


if __name__ == "__main__":
    twice.serve(globals(), client_of)
