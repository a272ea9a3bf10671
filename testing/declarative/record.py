"""Records what Airbyte's engine does with a manifest, for the replay of `saas-backup-declarative`.

    python3 -m venv venv && venv/bin/pip install airbyte-cdk==7.39.1
    venv/bin/python testing/declarative/record.py saas-backup-declarative/tests/it/recordings

Reads FOLDER/source-tracker.yaml, answers its requests as the tracker of the tests would, and writes
FOLDER/cassettes/source-tracker/STREAM.json.gz: every request and answer, the records and the states.
"""

import gzip
import io
import json
import logging
import sys
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import requests
import yaml
from urllib3 import HTTPResponse
from airbyte_cdk.models import SyncMode, Type
from airbyte_cdk.models import AirbyteStream, ConfiguredAirbyteCatalog, ConfiguredAirbyteStream, DestinationSyncMode
from airbyte_cdk.sources.declarative.concurrent_declarative_source import ConcurrentDeclarativeSource

NOW = "2026-03-01T12:00:00+00:00"
CONFIG = {"url": "https://tracker.example", "token": "token-value"}
PROJECTS = [1, 2, 3]
INTERESTING = ("authorization", "content-type")


def task(project, number):
    return {
        "id": number,
        "title": f"Task {number}",
        "updated": f"2026-02-{project * 7 + number:02}T00:00:00Z",
        "done": number % 2 == 0,
        "none": None,
        "big": 12345678901234567890,
        "files": [],
    }


def answer(url):
    """What the tracker of tests/it/tracker.rs answers."""
    parts = urlsplit(url)
    query = {name: values[0] for name, values in parse_qs(parts.query).items()}
    if parts.path == "/projects":
        first = (int(query.get("page", 1)) - 1) * 2
        return {"data": [{"id": project} for project in PROJECTS[first : first + 2]]}
    if parts.path == "/fields":
        return {"data": [{"name": name} for name in "abc"]}
    if parts.path == "/things":
        wanted = query["fields"].split(",")
        return {"data": [{"id": str(n), "values": {name: f"{name}{n}" for name in wanted}} for n in (1, 2)]}
    project = int(parts.path.split("/")[2])
    left = [task(project, n) for n in range(1, 6) if n > int(query.get("after", 0))]
    left = [one for one in left if one["updated"] >= query.get("since", "")]
    return {"data": left[:3], "next": left[2]["id"] if len(left) > 3 else None}


def main(folder):
    manifest = yaml.safe_load((folder / "source-tracker.yaml").read_text())
    interactions = []
    current = None

    def send(_, request, **__):
        body = answer(request.url)
        headers = {name: value for name, value in request.headers.items() if name.lower() in INTERESTING}
        asked = {"method": request.method, "url": request.url, "headers": headers, "body": request.body}
        interactions.append(
            {"stream": current, "request": asked, "response": {"status": 200, "headers": {}, "body": body}}
        )
        raw = HTTPResponse(body=io.BytesIO(json.dumps(body).encode()), status=200, preload_content=False)
        # What the cache of parents' answers asks of an answer.
        raw._request_url = request.url
        response = requests.Response()
        response.status_code, response.raw, response.request, response.url = 200, raw, request, request.url
        return response

    requests.adapters.HTTPAdapter.send = send
    target = folder / "cassettes" / "source-tracker"
    target.mkdir(parents=True, exist_ok=True)
    for current in ("projects", "tasks", "open_tasks", "things"):
        interactions.clear()
        incremental = "tasks" in current
        mode = SyncMode.incremental if incremental else SyncMode.full_refresh
        stream = AirbyteStream(name=current, json_schema={}, supported_sync_modes=[mode])
        catalog = ConfiguredAirbyteCatalog(
            streams=[
                ConfiguredAirbyteStream(
                    stream=stream, sync_mode=mode, destination_sync_mode=DestinationSyncMode.append
                )
            ]
        )
        source = ConcurrentDeclarativeSource(catalog=catalog, config=CONFIG, state=[], source_config=manifest)
        records, states = [], []
        for message in source.read(logging.getLogger("record"), CONFIG, catalog, []):
            if message.type == Type.RECORD:
                records.append(message.record.data)
            elif message.type == Type.STATE:
                states.append(
                    {
                        "type": "STREAM",
                        "stream": {
                            "stream_descriptor": {"name": current},
                            "stream_state": vars(message.state.stream.stream_state),
                        },
                    }
                )
        recording = {
            "source": "source-tracker", "stream": current, "now": NOW, "config": CONFIG,
            "interactions": interactions, "records": records, "states": states,
        }
        # Without a time, so that the same recording is the same file.
        (target / f"{current}.json.gz").write_bytes(gzip.compress(json.dumps(recording).encode(), mtime=0))
        print(f"{current}: {len(interactions)} requests, {len(records)} records, {len(states)} states")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
