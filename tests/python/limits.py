"""What the official OpenAI SDK makes of a client's limit of one request a minute.

    limits.py URL KEY MODEL

The SDK's pauses are noted, not waited for.
"""

import json
import sys

import openai
from openai import _base_client

url, key, model = sys.argv[1:]
slept = []
_base_client.time.sleep = slept.append


def chat(retries):
    client = openai.OpenAI(base_url=url, api_key=key, max_retries=retries)
    messages = [{"role": "user", "content": "Hello"}]
    return client.chat.completions.with_raw_response.create(model=model, messages=messages)


first = chat(0)
saw = {"first": {"remaining": first.headers.get("x-ratelimit-remaining-requests")}}
try:
    chat(1)
    saw["error"] = None
except openai.APIStatusError as error:
    saw["error"] = type(error).__name__
    saw["status"] = error.status_code
    saw["code"] = error.code
    saw["headers"] = dict(error.response.headers)
saw["slept"] = slept
print(json.dumps(saw))
