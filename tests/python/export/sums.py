"""Reads exports with DuckDB, and prints what they sum to and their rows, as JSON.

sums.py FILE...: the format is what the name ends in.
"""

import json
import sys

import duckdb

TOKENS = [
    "input",
    "cached_input",
    "cache_write",
    "output",
    "reasoning",
    "audio_input",
    "audio_output",
]
LATENCIES = ["avg", "p50", "p95", "p99"]


def source(path):
    if path.endswith(".parquet"):
        return f"read_parquet('{path}')"
    # Money is read as text: a reader that guesses would make a double of it.
    if path.endswith(".csv"):
        return f"read_csv('{path}', header=true, types={{'cost_usd': 'VARCHAR', 'time': 'VARCHAR'}})"
    return f"read_json('{path}', format='newline_delimited', columns={{{json_columns()}}})"


def json_columns():
    columns = {"time": "VARCHAR", "width_s": "INTEGER"}
    columns |= dict.fromkeys(["provider", "model", "key", "client_id"], "VARCHAR")
    columns |= dict.fromkeys(["requests", "errors", *TOKENS, "unpriced"], "BIGINT")
    columns |= {"cost_usd": "VARCHAR"}
    columns |= {f"{name}_latency_ms": "DOUBLE" for name in LATENCIES}
    return ", ".join(f"'{name}': '{kind}'" for name, kind in columns.items())


def read(path):
    table = source(path)
    kinds = {name: str(kind) for name, kind, *_ in duckdb.sql(f"describe select * from {table}").fetchall()}
    cost = "sum(cast(cost_usd as decimal(38, 9)))"
    sums = ["requests", "errors", *TOKENS, "unpriced"]
    totals = ", ".join(f"sum({name})::hugeint::varchar" for name in sums)
    row = duckdb.sql(f"select count(*)::varchar, {cost}::varchar, {totals} from {table}").fetchall()[0]
    times = "cast(time as timestamptz)"
    latencies = ", ".join(f"{name}_latency_ms" for name in LATENCIES)
    rows = duckdb.sql(
        f"select epoch({times})::bigint, width_s::int, provider, model, key, client_id, "
        f"{', '.join(sums)}, cast(cost_usd as decimal(18, 9))::varchar, {latencies} from {table} limit 1000"
    ).fetchall()
    return {
        "kinds": kinds,
        "sums": dict(zip(["rows", "cost_usd", *sums], row)),
        "rows": [list(row) for row in rows],
    }


print(json.dumps([read(path) for path in sys.argv[1:]]))
