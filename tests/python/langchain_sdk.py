"""What LangChain's chat models see, directly and through the gateway; see twice.py.

    langchain_sdk.py openai|anthropic DIRECT_URL DIRECT_KEY GATEWAY_URL GATEWAY_KEY

The only thing left out of a message is the id that LangChain draws for it.
"""

import asyncio
import sys
from typing import Literal

import pydantic
from langchain_core.messages import HumanMessage, SystemMessage, ToolMessage

import twice

MESSAGES = [SystemMessage("Be brief."), HumanMessage("Grüße, 世界 👋🏽 — say \"hello\"\n\u2028.")]
AT_A_TIME = 50


class lookup(pydantic.BaseModel):
    """Looks a word up."""

    word: Literal["a", "ß", "世"]


def seen(message):
    dump = message.model_dump(mode="json")
    if dump["id"].startswith("lc_run-"):
        del dump["id"]
    return dump


def streamed(chunks):
    """Each chunk, and their sum: what LangChain's users make of it."""
    total = None
    for chunk in chunks:
        total = chunk if total is None else total + chunk
        yield seen(chunk)
    yield seen(total)


def case_invoke(model):
    message = model.invoke(MESSAGES)
    return [seen(message), message.usage_metadata]


def case_stream(model):
    yield from streamed(model.stream(MESSAGES))


def case_stream_without_usage(model):
    yield from streamed(model.stream(MESSAGES, stream_usage=False))


def case_tools(model):
    """A whole round: the call, and the answer that is sent back with its result."""
    model = model.bind_tools([lookup])
    first = model.invoke(MESSAGES)
    results = [ToolMessage("sharp s", tool_call_id=call["id"]) for call in first.tool_calls]
    return [first.tool_calls, seen(first), seen(model.invoke([*MESSAGES, first, *results]))]


def case_tools_stream(model):
    yield from streamed(model.bind_tools([lookup]).stream(MESSAGES))


def case_structured(model):
    return model.with_structured_output(lookup).invoke(MESSAGES).word


def case_vision(model):
    image = {"type": "image", "base64": twice.large_image(), "mime_type": "image/png"}
    content = [{"type": "text", "text": "What is this?"}, image]
    return seen(model.invoke([HumanMessage(content)]))


def case_responses(model):
    return seen(model.model_copy(update={"use_responses_api": True}).invoke(MESSAGES))


def case_responses_stream(model):
    yield from streamed(model.model_copy(update={"use_responses_api": True}).stream(MESSAGES))


def has_two_pieces(chunks):
    return sum(bool(chunk.text) for chunk in chunks) == 2


def case_abort(model):
    """Leaves after two pieces of text, which is all that the upstream gives."""
    stream = model.stream(MESSAGES)
    chunks = []
    while not has_two_pieces(chunks):
        chunks.append(next(stream))
    stream.close()
    return [seen(chunk) for chunk in chunks]


async def case_async_invoke(model):
    return seen(await model.ainvoke(MESSAGES))


async def case_async_stream(model):
    return list(streamed([chunk async for chunk in model.astream(MESSAGES)]))


async def case_at_a_time(model):
    """Each with an answer and counts of its own, by turns whole and as a stream."""

    async def one(at):
        usage = {"prompt": 200 + at, "completion": 50 + at, "cached": at}
        script = {"content": f"Answer {at}: ß世👋🏽", "usage": usage, "split": at % 7}
        asked = model.bind(extra_body={"upstream": script})
        if at % 2 == 0:
            return seen(await asked.ainvoke(MESSAGES))
        return list(streamed([chunk async for chunk in asked.astream(MESSAGES)]))

    return await asyncio.gather(*[one(at) for at in range(AT_A_TIME)])


def openai(url, key, is_async=False):
    from langchain_openai import ChatOpenAI

    return ChatOpenAI(model="m-chat", base_url=url, api_key=key, max_retries=0, timeout=60.0, stream_usage=True)


def anthropic(url, key, is_async=False):
    from langchain_anthropic import ChatAnthropic

    return ChatAnthropic(model="claude-test", base_url=url, api_key=key, max_retries=0, timeout=60.0, max_tokens=100)


if __name__ == "__main__":
    client_of = {"openai": openai, "anthropic": anthropic}[sys.argv.pop(1)]
    twice.serve(globals(), client_of)
