"""Pages of /metrics, read by the parsers of prometheus_client.

    formats.py pages URL REQUESTS PROVIDER MODEL
    formats.py labels EXECUTABLE

`pages` reads a gateway's text and OpenMetrics pages. `labels` makes pages with
random label values by the exporters' example `label_page` and looks whether the
same values come back; the seed is printed, and SEED in the environment repeats it.
"""

import os
import random
import subprocess
import sys
import time
import urllib.request

from prometheus_client import parser as text
from prometheus_client.openmetrics import parser as openmetrics

ROUNDS = 40
LINES_MAX = 12
PARSERS = {
    "text": text.text_string_to_metric_families,
    "openmetrics": openmetrics.text_string_to_metric_families,
}
ACCEPT = {
    "text": "text/plain;version=0.0.4",
    "openmetrics": "application/openmetrics-text;version=1.0.0",
}
SPECIAL = ['"', "\\", "\n", "\r", "\t", "{", "}", ",", "=", " ", "#", "n", "\\n", '\\"', "# EOF",
           "ä", "世", "🦀", "\u2028", "\u0085", "\ufeff", "\u00a0", "é", "\x7f"]


def families(form, page):
    return {family.name: family for family in PARSERS[form](page)}


def samples(family, name):
    return [sample for sample in family.samples if sample.name == name]


def pages(url, requests, provider, model):
    read = {}
    for form, accept in ACCEPT.items():
        request = urllib.request.Request(url, headers={"Accept": accept})
        with urllib.request.urlopen(request) as reply:
            page = reply.read().decode()
        read[form] = families(form, page)
    # The text parser names a counter without _total, as OpenMetrics does; and it
    # takes a family of samples with the suffix _info for a gauge of that name.
    names = {name.removesuffix("_info") for name in read["text"]}
    assert names == set(read["openmetrics"]), names ^ set(read["openmetrics"])

    labels = {"provider": provider, "model": model}
    for form in PARSERS:
        counts = samples(read[form]["coo_llm_latency_seconds"], "coo_llm_latency_seconds_count")
        counts = [s.value for s in counts if s.labels == labels]
        assert counts == [float(requests)], (form, counts)
        found = samples(read[form]["coo_llm_requests"], "coo_llm_requests_total")
        found = [s.value for s in found if s.labels["model"] == model]
        assert found == [float(requests)], (form, found)

    now = time.time()
    created = 0
    for family in read["openmetrics"].values():
        for sample in family.samples:
            if sample.name.endswith("_created"):
                assert family.type in ("counter", "histogram"), family
                assert now - 600 < sample.value <= now, sample
                created += 1
    assert created > 10, created
    assert not any(name.endswith("_created") for name in read["text"])

    buckets = read["openmetrics"]["coo_llm_latency_seconds"].samples
    exemplars = [s for s in buckets if s.exemplar]
    assert len(exemplars) >= 2, exemplars
    for sample in exemplars:
        assert sample.name == "coo_llm_latency_seconds_bucket", sample
        assert list(sample.exemplar.labels) == ["request_id"], sample
        assert 0 < sample.exemplar.value <= float(sample.labels["le"]), sample
        assert now - 600 < float(sample.exemplar.timestamp) <= now + 1, sample
    for name, family in read["openmetrics"].items():
        if name != "coo_llm_latency_seconds":
            assert not any(s.exemplar for s in family.samples), family


def value(rng):
    def char():
        if rng.random() < 0.7:
            return rng.choice(SPECIAL)
        while True:
            point = rng.randrange(1, 0x110000)
            if not 0xD800 <= point < 0xE000:
                return chr(point)

    return "".join(char() for _ in range(rng.randrange(7)))


def labels(executable):
    seed = int(os.environ.get("SEED", random.SystemRandom().randrange(2**32)))
    print(f"SEED={seed}", flush=True)
    rng = random.Random(seed)
    for _ in range(ROUNDS):
        rows = [[value(rng) for _ in range(4)] for _ in range(rng.randrange(1, LINES_MAX))]
        lines = [" ".join("x" + v.encode().hex() for v in row) for row in rows]
        wanted = {
            "coo_llm_requests": {tuple(row[:3]) for row in rows},
            "coo_llm_latency_seconds": {tuple(row[:2]) for row in rows},
            "coo_llm_client_requests": {(row[3],) for row in rows},
        }
        order = ("provider", "model", "key", "client_id")
        for form in PARSERS:
            page = subprocess.run(
                [executable, form], input="\n".join(lines).encode(), stdout=subprocess.PIPE, check=True
            ).stdout.decode()
            found = families(form, page)
            for name, want in wanted.items():
                got = {
                    tuple(s.labels[label] for label in order if label in s.labels)
                    for s in found[name].samples
                }
                assert got == want, (form, name, got ^ want)
            total = samples(found["coo_llm_client_requests"], "coo_llm_client_requests_total")
            assert sum(s.value for s in total) == len(rows), (form, total)


if __name__ == "__main__":
    {"pages": pages, "labels": labels}[sys.argv[1]](*sys.argv[2:])
