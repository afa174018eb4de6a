"""What the official OpenAI SDK sees, directly and through the gateway; see twice.py."""

import asyncio
from typing import Literal

import openai
import pydantic

import twice
from twice import dumped

MODEL = "m-chat"
MESSAGES = [{"role": "user", "content": "Grüße, 世界 👋🏽 — say \"hello\"\n\u2028."}]
TOOLS = [
    {
        "type": "function",
        "function": {
            "name": "lookup",
            "description": "Looks a word up.",
            "strict": True,
            "parameters": {
                "type": "object",
                "properties": {"word": {"type": "string", "enum": ["a", "ß", "世"]}},
                "required": ["word"],
                "additionalProperties": False,
            },
        },
    }
]
AT_A_TIME = 50


class Found(pydantic.BaseModel):
    word: Literal["a", "ß", "世"]


def chat(client, messages=None, **more):
    return client.chat.completions.create(model=MODEL, messages=messages or MESSAGES, **more)


def case_chat(client):
    return chat(client, temperature=0.1, n=1, seed=7).model_dump(mode="json")


def case_tools(client):
    reply = chat(client, tools=TOOLS, tool_choice="auto", parallel_tool_calls=False)
    return reply.model_dump(mode="json")


def case_vision(client):
    url = "data:image/png;base64," + twice.large_image()
    content = [
        {"type": "text", "text": "What is this?"},
        {"type": "image_url", "image_url": {"url": url, "detail": "low"}},
    ]
    return chat(client, [{"role": "user", "content": content}]).model_dump(mode="json")


def case_structured(client):
    """The SDK makes the schema of the class, and the object of the answer."""
    reply = client.chat.completions.parse(
        model=MODEL, messages=MESSAGES, response_format=Found
    )
    return [reply.model_dump(mode="json", warnings=False), reply.choices[0].message.parsed.word]


def case_stream(client):
    yield from dumped(chat(client, stream=True))


def case_stream_usage(client):
    yield from dumped(chat(client, stream=True, stream_options={"include_usage": True}))


def case_stream_tools(client):
    yield from dumped(chat(client, stream=True, tools=TOOLS))


def case_stream_helper(client):
    """The SDK's own putting together of a stream."""
    with client.chat.completions.stream(model=MODEL, messages=MESSAGES, tools=TOOLS) as stream:
        kinds = [event.type for event in stream]
        return [kinds, stream.get_final_completion().model_dump(mode="json")]


def case_completion(client):
    return client.completions.create(model=MODEL, prompt="Say ß").model_dump(mode="json")


def case_completion_stream(client):
    yield from dumped(client.completions.create(model=MODEL, prompt="Say ß", stream=True))


def case_embeddings(client):
    reply = client.embeddings.create(model=MODEL, input=["one", "zwei", "三"])
    return reply.model_dump(mode="json")


def case_embeddings_float(client):
    reply = client.embeddings.create(model=MODEL, input="one", encoding_format="float")
    return reply.model_dump(mode="json")


def case_responses(client):
    reply = client.responses.create(model=MODEL, input="Say ß", instructions="Be brief.")
    return [reply.model_dump(mode="json"), reply.output_text]


def case_responses_stream(client):
    yield from dumped(client.responses.create(model=MODEL, input="Say ß", stream=True))


def case_models(client):
    # `created` and `owned_by` are the lister's own words; which models there are is not.
    listed = [(model.id, model.object) for model in client.models.list()]
    one = client.models.retrieve(MODEL)
    try:
        client.models.retrieve("no-such-model")
        missing = None
    except openai.NotFoundError as error:
        missing = error.status_code
    return {"listed": listed, "one": (one.id, one.object), "missing": missing}


def case_timeout(client):
    return chat(client.with_options(timeout=1.0))


def case_abort(client):
    """Leaves after the role and two pieces, which is all that the upstream gives."""
    stream = chat(client, stream=True)
    seen = [next(stream).model_dump(mode="json") for _ in range(3)]
    stream.close()
    return seen


def case_responses_abort(client):
    stream = client.responses.create(model=MODEL, input="Say ß", stream=True)
    seen = [next(stream).model_dump(mode="json") for _ in range(3)]
    stream.close()
    return seen


async def case_async_chat(client):
    return (await chat(client)).model_dump(mode="json")


async def case_async_stream(client):
    return [chunk.model_dump(mode="json") async for chunk in await chat(client, stream=True)]


async def case_async_abort(client):
    stream = await chat(client, stream=True)
    seen = [(await anext(stream)).model_dump(mode="json") for _ in range(3)]
    await stream.close()
    return seen


async def case_at_a_time(client):
    """Each with an answer and counts of its own, by turns whole and as a stream."""

    async def one(at):
        usage = {"prompt": 100 + at, "completion": 50 + at, "cached": at}
        script = {"content": f"Answer {at}: ß世👋🏽", "usage": usage, "split": at % 7}
        more = {"extra_body": {"upstream": script}}
        if at % 2 == 0:
            return (await chat(client, **more)).model_dump(mode="json")
        stream = await chat(client, stream=True, stream_options={"include_usage": True}, **more)
        return [chunk.model_dump(mode="json") async for chunk in stream]

    return await asyncio.gather(*[one(at) for at in range(AT_A_TIME)])


def client_of(url, key, is_async=False):
    client = openai.AsyncOpenAI if is_async else openai.OpenAI
    return client(base_url=url, api_key=key, max_retries=0, timeout=60.0)


if __name__ == "__main__":
    twice.serve(globals(), client_of)
