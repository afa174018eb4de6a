"""Runs schemathesis over every operation of a gateway's document, in about a minute.

    ask.py BASE_URL ADMIN_KEY CLIENT PROVIDER MODEL

The last line says how many test cases were sent. The status is that of schemathesis, and 1 where
an operation of the document was not asked.
"""

import json
import subprocess
import sys
from pathlib import Path

import requests

# Of all but one: a question that is well formed may be about the future, and a login or a
# configuration wrong.
UNCHECKED = "positive_data_acceptance"
EXAMPLES = 40


def main() -> int:
    base, key, client, provider, model = sys.argv[1:]
    auth = {"authorization": f"Bearer {key}"}
    document = requests.get(f"{base}/admin/v1/openapi.json", headers=auth, timeout=30).json()
    with_known_names(document, {"client": client, "provider": provider, "model": model})
    file = Path("openapi.json")
    file.write_text(json.dumps(document))
    events = Path("events.ndjson")
    run = [
        Path(sys.executable).parent / "schemathesis", "run", file, "--url", base,
        "--header", f"Authorization: Bearer {key}",
        "--checks", "all", "--exclude-checks", UNCHECKED, "--mode", "all",
        "--phases", "examples,coverage,fuzzing",
        "--max-examples", str(EXAMPLES), "--seed", "1", "--generation-database", "none",
        "--continue-on-failure", "--request-timeout", "30", "--no-color", "--warnings", "off",
        "--report-ndjson-path", events,
    ]
    status = subprocess.run(run, check=False).returncode
    return status or missing(document, events)


def with_known_names(document: dict, known: dict) -> None:
    """Gives parameters examples that the gateway knows."""
    for path, item in document["paths"].items():
        for operation in item.values():
            for parameter in operation.get("parameters", []):
                name = parameter["name"]
                if name == "id":
                    name = "client" if "/clients/" in path else "provider"
                if name in known:
                    parameter["example"] = known[name]


def missing(document: dict, events: Path) -> int:
    """Counts the cases, and finds operations that were never asked."""
    cases, asked = 0, set()
    for line in events.read_text().splitlines():
        event = json.loads(line)
        scenario = event.get("ScenarioFinished")
        if scenario:
            recorder = scenario["recorder"]
            # A scenario that is passed over has none.
            cases += len(recorder.get("interactions", {}))
            if "interactions" in recorder:
                asked.add(recorder["label"])
    wanted = {
        f"{method.upper()} {path}"
        for path, item in document["paths"].items()
        for method in item
    }
    for operation in sorted(wanted - asked):
        print(f"not asked: {operation}")
    print(f"cases: {cases}")
    return 1 if wanted - asked else 0


sys.exit(main())
