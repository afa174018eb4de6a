"""Compares what coo-llm bills with LiteLLM's cost function and with genai-prices.

    compare.py COO_LLM FOLDER

LiteLLM's own table is the price file. Records of models x shapes of usage go through
`coo-llm reprice`; the same usage goes to the two peers. Each model and shape that costs
something else there is a line on stdout; the counts go to stderr.
"""

import json
import os
import subprocess
import sys
import warnings
from collections import defaultdict
from datetime import datetime, timezone
from decimal import Decimal
from pathlib import Path

# The table of the package, and nothing from the network.
os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"
os.environ["LITELLM_LOG"] = "CRITICAL"
warnings.simplefilter("ignore")

import genai_prices  # noqa: E402
import litellm  # noqa: E402
from litellm.types.utils import Usage  # noqa: E402

TIME = datetime(2026, 11, 1, 12, tzinfo=timezone.utc)
MODES = {"chat", "completion", "responses", "embedding"}
# litellm_provider: the same in genai-prices, or None.
PROVIDERS = {
    "openai": "openai",
    "text-completion-openai": None,
    "anthropic": "anthropic",
    "gemini": "google",
    "xai": "x-ai",
    "mistral": "mistral",
    "deepseek": "deepseek",
    "groq": "groq",
    "cerebras": "cerebras",
    "cohere": "cohere",
    "moonshot": "moonshotai",
    "minimax": "minimax",
    "zai": "zai",
    "together_ai": "together",
    "fireworks_ai": "fireworks",
    "perplexity": "perplexity",
    "dashscope": None,
    "azure": None,
    "azure_ai": None,
    "vercel_ai_gateway": None,
    "deepinfra": None,
    "novita": "novita",
    "databricks": None,
    "voyage": "voyageai",
    "bedrock_converse": None,
}

# name: (tokens in the words of `reprice`, tier)
SHAPES = {
    "plain": (dict(prompt_tokens=1009, completion_tokens=503), None),
    "cached": (dict(prompt_tokens=10007, completion_tokens=331, cached_tokens=7001), None),
    "cache_write": (dict(prompt_tokens=9001, completion_tokens=97, cached_tokens=2003, cache_write_tokens=3001), None),
    "cache_write_1h": (
        dict(prompt_tokens=9001, completion_tokens=97, cache_write_tokens=3001, cache_write_1h_tokens=1013),
        None,
    ),
    "reasoning": (dict(prompt_tokens=1013, completion_tokens=907, reasoning_tokens=409), None),
    "audio": (
        dict(prompt_tokens=1009, completion_tokens=503, audio_input_tokens=307, audio_output_tokens=211),
        None,
    ),
    "at_128k": (dict(prompt_tokens=128000, completion_tokens=101), None),
    "at_200k": (dict(prompt_tokens=200000, completion_tokens=101), None),
    "above_200k": (
        dict(prompt_tokens=200001, completion_tokens=503, cached_tokens=150001, reasoning_tokens=101),
        None,
    ),
    "above_272k": (dict(prompt_tokens=300007, completion_tokens=503, cached_tokens=7001, cache_write_tokens=2003), None),
    "flex": (dict(prompt_tokens=10007, completion_tokens=331, cached_tokens=7001, reasoning_tokens=101), "flex"),
    "priority": (dict(prompt_tokens=10007, completion_tokens=331, cached_tokens=7001, reasoning_tokens=101), "priority"),
    "priority_above_272k": (dict(prompt_tokens=300007, completion_tokens=503, cached_tokens=7001), "priority"),
    "batch": (dict(prompt_tokens=10007, completion_tokens=331), "batch"),
    "batch_cached": (dict(prompt_tokens=300007, completion_tokens=331, cached_tokens=7001), "batch"),
}
TIER_SUFFIX = {"flex": "_flex", "priority": "_priority", "batch": "_batches"}

# What a comparison allows: our one rounding to nano-USD, prices of the table that are
# finer than a femto-USD a token, and the peer's binary fractions (a sum of ten products
# of doubles is within 1e-14 of itself).
HALF_NANO = Decimal("5e-10")
HALF_FEMTO = Decimal("5e-16")
F64 = Decimal("1e-13")


def shapes_of(entry):
    for name, (tokens, tier) in SHAPES.items():
        if tier is not None:
            sides = ("input", "output") if entry["mode"] != "embedding" else ("input",)
            if any(entry.get(f"{side}_cost_per_token{TIER_SUFFIX[tier]}") is None for side in sides):
                continue
        if entry["mode"] == "embedding":
            if name != "plain":
                continue
            tokens = dict(tokens, completion_tokens=0)
        yield name, tokens, tier


def litellm_cost(provider, key, mode, tokens, tier):
    details = {"cached_tokens": tokens.get("cached_tokens", 0)}
    if "audio_input_tokens" in tokens:
        details["audio_tokens"] = tokens["audio_input_tokens"]
    if "cache_write_tokens" in tokens:
        details["cache_creation_tokens"] = tokens["cache_write_tokens"]
    if "cache_write_1h_tokens" in tokens:
        hour = tokens["cache_write_1h_tokens"]
        details["cache_creation_token_details"] = {
            "ephemeral_5m_input_tokens": tokens["cache_write_tokens"] - hour,
            "ephemeral_1h_input_tokens": hour,
        }
    output = {}
    if "reasoning_tokens" in tokens:
        output["reasoning_tokens"] = tokens["reasoning_tokens"]
    if "audio_output_tokens" in tokens:
        output["audio_tokens"] = tokens["audio_output_tokens"]
    usage = Usage(
        prompt_tokens=tokens["prompt_tokens"],
        completion_tokens=tokens["completion_tokens"],
        total_tokens=tokens["prompt_tokens"] + tokens["completion_tokens"],
        prompt_tokens_details=details,
        completion_tokens_details=output or None,
    )
    call_type = {"embedding": "embedding"}.get(mode, "completion")
    costs = litellm.cost_per_token(
        model=key,
        custom_llm_provider=provider,
        usage_object=usage,
        call_type="retrieve_batch" if tier == "batch" else call_type,
        service_tier=None if tier == "batch" else tier,
    )
    # repr of a double is the shortest decimal that is it.
    return sum(Decimal(repr(float(cost))) for cost in costs)


def genai_cost(provider, model, tokens):
    usage = genai_prices.Usage(
        input_tokens=tokens["prompt_tokens"],
        output_tokens=tokens["completion_tokens"],
        cache_read_tokens=tokens.get("cached_tokens", 0),
        cache_write_tokens=tokens.get("cache_write_tokens", 0),
        input_audio_tokens=tokens.get("audio_input_tokens", 0),
        output_audio_tokens=tokens.get("audio_output_tokens", 0),
        output_reasoning_tokens=tokens.get("reasoning_tokens", 0),
        cache_write_1h_tokens=tokens.get("cache_write_1h_tokens", 0),
    )
    price = genai_prices.calc_price(
        usage, model_ref=model, provider_id=provider, genai_request_timestamp=TIME
    )
    # Their matching is by patterns; only the model itself is the same thing.
    return price.total_price if price.model.id == model else None


def reprice(coo_llm, folder, table, records):
    source = folder / "records.jsonl"
    source.write_text("".join(json.dumps(record) + "\n" for record in records))
    done = subprocess.run(
        [coo_llm, "reprice", "--table", table, "--input", source],
        capture_output=True, text=True, check=False,
    )
    assert done.returncode == 0, done.stderr
    lines = [json.loads(line, parse_float=Decimal, parse_int=Decimal) for line in done.stdout.splitlines()]
    assert len(lines) == len(records), (len(lines), len(records))
    return [line["cost_usd"] for line in lines]


def main(coo_llm, folder):
    package = Path(litellm.__file__).parent
    table = package / "model_prices_and_context_window_backup.json"
    entries = json.loads(table.read_text())
    cases = []
    for key, entry in entries.items():
        provider = entry.get("litellm_provider")
        if provider not in PROVIDERS or entry.get("mode") not in MODES:
            continue
        prefix = f"{provider}/"
        model = key.removeprefix(prefix)
        for shape, tokens, tier in shapes_of(entry):
            cases.append((provider, key, model, entry["mode"], shape, tokens, tier))
    records = []
    for number, (provider, _, model, _, _, tokens, tier) in enumerate(cases):
        ours = provider.removeprefix("text-completion-")
        record = dict(id=str(number), time=int(TIME.timestamp() * 1000), provider=ours, model=model, **tokens)
        if tier:
            record["service_tier"] = tier
        records.append(record)
    costs = reprice(coo_llm, folder, table, records)

    differences = defaultdict(list)
    compared = defaultdict(int)
    models = defaultdict(set)
    unpriced = 0
    for (provider, key, model, mode, shape, tokens, tier), ours in zip(cases, costs, strict=True):
        if ours is None:
            unpriced += 1
            differences["unpriced", key].append(shape)
            continue
        slack = HALF_NANO + HALF_FEMTO * (tokens["prompt_tokens"] + tokens["completion_tokens"])
        try:
            theirs = litellm_cost(provider, key, mode, tokens, tier)
        except Exception as error:  # noqa: BLE001  # it raises bare ones
            theirs = None
            differences["litellm-raises", key].append(shape)
            if os.environ.get("EXPLAIN"):
                print(key, shape, repr(error)[:300], file=sys.stderr)
        if theirs is not None:
            compared["litellm"] += 1
            models["litellm"].add(key)
            if abs(theirs - ours) > slack + F64 * theirs:
                differences["litellm", key].append(shape)
                if os.environ.get("EXPLAIN"):
                    print(key, shape, ours, theirs, file=sys.stderr)
        if PROVIDERS[provider] is None or tier is not None:
            continue
        try:
            theirs = genai_cost(PROVIDERS[provider], model, tokens)
        except (LookupError, ValueError):
            theirs = None
        if theirs is not None:
            compared["genai-prices"] += 1
            models["genai-prices"].add(key)
            if abs(theirs - ours) > slack:
                differences["genai-prices", key].append(shape)
                if os.environ.get("EXPLAIN"):
                    print("genai", key, shape, ours, theirs, file=sys.stderr)
    for (peer, key), shapes in sorted(differences.items()):
        print(peer, key, " ".join(shapes))
    for peer, count in compared.items():
        print(f"{peer}: {count} costs of {len(models[peer])} models compared", file=sys.stderr)


main(sys.argv[1], Path(sys.argv[2]))
