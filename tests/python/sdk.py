"""What the official OpenAI SDK sees of one call, directly and through the gateway.

    sdk.py CASE SCRIPT DIRECT_URL DIRECT_KEY GATEWAY_URL GATEWAY_KEY

SCRIPT is the JSON of the upstream's script. Prints a JSON list of two
observations. Nothing is normalised: the upstream answers the same bytes to the
same request, so the two have to be equal.
"""

import json
import sys

import openai

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


def chat(client, script, **more):
    extra = {"upstream": script}
    reply = client.chat.completions.create(
        model=MODEL, messages=MESSAGES, extra_body=extra, **more
    )
    return reply


def case_chat(client, script):
    return chat(client, script, temperature=0.1, n=1, seed=7).model_dump(mode="json")


def case_tools(client, script):
    reply = chat(client, script, tools=TOOLS, tool_choice="auto", parallel_tool_calls=False)
    return reply.model_dump(mode="json")


def chunks(stream):
    return [chunk.model_dump(mode="json") for chunk in stream]


def case_stream(client, script):
    return chunks(chat(client, script, stream=True))


def case_stream_usage(client, script):
    return chunks(chat(client, script, stream=True, stream_options={"include_usage": True}))


def case_stream_tools(client, script):
    return chunks(chat(client, script, stream=True, tools=TOOLS))


def case_completion(client, script):
    reply = client.completions.create(
        model=MODEL, prompt="Say ß", extra_body={"upstream": script}
    )
    return reply.model_dump(mode="json")


def case_completion_stream(client, script):
    return chunks(
        client.completions.create(
            model=MODEL, prompt="Say ß", stream=True, extra_body={"upstream": script}
        )
    )


def case_embeddings(client, script):
    reply = client.embeddings.create(
        model=MODEL, input=["one", "zwei", "三"], extra_body={"upstream": script}
    )
    return reply.model_dump(mode="json")


def case_embeddings_float(client, script):
    reply = client.embeddings.create(
        model=MODEL, input="one", encoding_format="float", extra_body={"upstream": script}
    )
    return reply.model_dump(mode="json")


def case_models(client, script):
    del script
    # `created` and `owned_by` are the lister's own words; which models there are is not.
    listed = [(model.id, model.object) for model in client.models.list()]
    one = client.models.retrieve(MODEL)
    try:
        client.models.retrieve("no-such-model")
        missing = None
    except openai.NotFoundError as error:
        missing = error.status_code
    return {"listed": listed, "one": (one.id, one.object), "missing": missing}


def case_timeout(client, script):
    return chat(client.with_options(timeout=1.0), script)


def case_abort(client, script):
    stream = chat(client, script, stream=True)
    seen = []
    for chunk in stream:
        seen.append(chunk.model_dump(mode="json"))
        if len(seen) == 3:
            break
    stream.close()
    return seen


def observe(case, script, url, key):
    client = openai.OpenAI(base_url=url, api_key=key, max_retries=0, timeout=60.0)
    try:
        return {"saw": case(client, script)}
    except openai.APIStatusError as error:
        return {
            "error": type(error).__name__,
            "text": str(error),
            "status": error.status_code,
            "body": error.body,
            "code": error.code,
            "type": error.type,
            "param": error.param,
            "retry_after": error.response.headers.get("retry-after"),
        }
    except openai.APIError as error:
        return {"error": type(error).__name__, "text": str(error), "body": error.body}
    finally:
        client.close()


def main():
    name, script, direct_url, direct_key, gateway_url, gateway_key = sys.argv[1:]
    case = globals()["case_" + name]
    script = json.loads(script)
    pair = [
        observe(case, script, direct_url, direct_key),
        observe(case, script, gateway_url, gateway_key),
    ]
    json.dump(pair, sys.stdout)


if __name__ == "__main__":
    main()
