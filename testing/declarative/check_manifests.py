#!/usr/bin/env python3
"""Checks the manifests of `saas-backup-declarative/manifests` with Airbyte's own kit as the oracle.

    pip install airbyte-cdk==7.39.1
    testing/declarative/check_manifests.py [NAME ...]

For each manifest: the kit's schema accepts it, the kit builds all of its streams, and every stream is read from a fake
that stands in for the network. The fake answers as `requests.yaml` beside the manifest says that the provider does:

    config:   the settings to read with
    headers:  what every request must carry
    answers:  the first one whose `url` (a regular expression) is found in a request's address answers it
      - url:      the regular expression
        text:     a regular expression that is found in the body of the request or in its parameters, where one address serves all streams
        stream:   the stream whose records are asked for; otherwise the one whose address it is
        method:   GET unless said otherwise
        query:    parameters that the first page must have; `null` for one that must be absent
        json:     members (dotted) that the body of a request must have, or `form` for a form
        body:     the answer; the word RECORDS stands for records that are made from the stream's own schema, ITEM for one,
                  PATH as a member for the one where the stream looks for them, URL for the address without parameters
        header:   headers of the answer
        count:    how many records fill the first page (2 unless said otherwise); the last page has one
        last:     the answer when there is no further page (`body` with no tokens unless said otherwise)
        next:     how the second page is asked for: `query`, `json`, `form` or `url`; without it there is one page

An overlay must name streams, fields and relationships that exist. Nothing here needs a network.
"""

import io
import json
import logging
import pathlib
import re
import sys
import urllib.parse

import requests
import urllib3
import yaml
from airbyte_cdk.models import ConfiguredAirbyteCatalogSerializer
from airbyte_cdk.sources.declarative.concurrent_declarative_source import ConcurrentDeclarativeSource

MANIFESTS = pathlib.Path(__file__).resolve().parents[2] / "saas-backup-declarative" / "manifests"
KINDS = """document folder file table record message conversation event contact issue comment repository transaction
product media user group permission setting automation audit""".split()
MARKUPS = "plain markdown html confluence lexical notion-blocks".split()
FIELDS = "title body summary slug url author time parent version_of labels properties".split()
RECORD = "created modified trashed archived by refs blobs".split()
BLOB = "url name media_type size role authorize".split()


class Wrong(Exception):
    pass


def expect(condition, message):
    if not condition:
        raise Wrong(message)


def resolve(manifest, node):
    """The node with its `$ref` put in, as the kit does it: what stands beside a reference wins."""
    if isinstance(node, list):
        return [resolve(manifest, item) for item in node]
    if not isinstance(node, dict):
        return node
    found = {}
    if "$ref" in node:
        found = manifest
        for part in node["$ref"].removeprefix("#/").split("/"):
            found = found[part]
        found = resolve(manifest, found)
    own = {key: resolve(manifest, value) for key, value in node.items() if key != "$ref"}
    return {**found, **own}


def has_path(schema, path):
    """Whether a dotted path exists in a schema; `*` is every item, or every member, and an open object holds anything."""
    for part in path.split("."):
        if part == "*":
            schema = schema.get("items", {})
        elif "properties" in schema:
            if part not in schema["properties"]:
                return False
            schema = schema["properties"][part]
        elif schema and not schema.get("additionalProperties"):
            return False
    return True


def as_list(value):
    return value if isinstance(value, list) else [value]


def check_overlay(overlay, streams):
    collections = overlay["collections"]
    expect(set(collections) <= set(streams), f"no such stream: {set(collections) - set(streams)}")
    missing = set(streams) - set(collections)
    expect(not missing, f"streams that the overlay says nothing of: {missing}")
    for name, entry in collections.items():
        schema = streams[name]["schema_loader"]["schema"]
        unknown = set(entry) - {"kind", "title", "fields", "refs", "record"}
        expect(not unknown, f"{name}: unknown members {unknown}")
        expect(entry.get("kind") in KINDS, f"{name}: unknown kind {entry.get('kind')}")
        fields, record = entry.get("fields", {}), entry.get("record", {})
        expect(set(fields) <= set(FIELDS) and set(record) <= set(RECORD), f"{name}: unknown fields or record members")
        rules = {rule["name"]: rule for rule in entry.get("refs", [])}
        for rule in rules.values():
            expect(set(rule["to"]) <= set(streams), f"{name}: {rule['name']} points to no stream: {rule['to']}")
        paths = [fields[key] for key in ("title", "slug", "url", "time") if key in fields]
        for key in ("body", "summary"):
            if key in fields:
                expect(fields[key]["markup"] in MARKUPS, f"{name}: unknown markup {fields[key]['markup']}")
                paths.append(fields[key]["path"])
        paths += fields.get("properties", {}).values()
        for key in [fields[key] for key in ("author", "parent", "version_of") if key in fields] + fields.get("labels", []):
            expect(key in rules, f"{name}: {key} is no relationship")
        paths += [record[key] for key in ("created", "modified", "trashed", "archived") if key in record]
        if "by" in record:
            expect(record["by"]["to"] in streams, f"{name}: by whom: no stream {record['by']['to']}")
            paths.append(record["by"]["path"])
        expect(set(record.get("refs", {})) == set(rules), f"{name}: rules {set(rules)}, refs {set(record.get('refs', {}))}")
        for at in record.get("refs", {}).values():
            paths += as_list(at)
        for blob in record.get("blobs", []):
            expect("url" in blob and set(blob) <= set(BLOB), f"{name}: a blob with {sorted(blob)}")
            paths += [blob[key] for key in ("url", "name", "media_type", "size") if key in blob]
        for path in paths:
            expect(has_path(schema, path), f"{name}: no field {path}")


def sample(schema, number, name=""):
    """A value that a schema allows."""
    kind = schema.get("type", "string")
    kind = next((item for item in as_list(kind) if item != "null"), "null")
    if kind == "object":
        inner = {key: sample(value, number, key) for key, value in schema.get("properties", {}).items()}
        return inner or {"any": "thing"}
    if kind == "array":
        return [sample(schema.get("items", {}), number, name)]
    if kind in ("integer", "number"):
        return schema.get("examples", [number])[0]
    if kind == "boolean":
        return False
    formats = {"date-time": "2026-01-02T03:04:05Z", "date": "2026-01-02", "uri": f"https://files.example/{number}"}
    return schema.get("examples", [formats.get(schema.get("format"), f"{name}-{number}")])[0]


def fill(node, records, url, path):
    """The answer of a script with its words replaced."""
    if node in ("RECORDS", "ITEM"):
        return records if node == "RECORDS" else records[0]
    if isinstance(node, dict):
        return {path if key == "PATH" else key: fill(value, records, url, path) for key, value in node.items()}
    if isinstance(node, list):
        return [fill(item, records, url, path) for item in node]
    return node.replace("URL", url) if isinstance(node, str) else node


def untokened(body):
    return {key: value for key, value in body.items() if "RECORDS" in json.dumps(value)} if isinstance(body, dict) else body


def matcher(url):
    """A pattern for the addresses that a manifest's template makes."""
    parts = re.split(r"\{\{.*?\}\}", url)
    return re.compile(".+?".join(map(re.escape, parts)) + "$")


class Fake:
    """Answers instead of the network and notes what was asked."""

    def __init__(self, script, streams, config):
        self.script, self.wrong, self.second, self.first, self.asked = script, [], set(), set(), {}
        self.streams, self.config, self.current = list(streams.items()), config, None

    def stream_of(self, url):
        def template(stream):
            text = stream["retriever"]["requester"]["url"].split("?")[0]
            return re.sub(r"\{\{\s*config\['(\w+)'\]\s*\}\}", lambda found: str(self.config[found[1]]), text)

        hits = [(name, item) for name, item in self.streams if matcher(template(item)).match(url)]
        best = max(hits, key=lambda hit: (len(re.sub(r"\{\{.*?\}\}", "", template(hit[1]))), hit[0] == self.current), default=None)
        expect(best, f"a request to an address that no stream has: {url}")
        return best

    def named(self, name):
        return name, dict(self.streams)[name]

    def __call__(self, _adapter, request, **_):
        try:
            body, headers, status = self.answer(request)
        except Wrong as wrong:
            self.wrong.append(str(wrong))
            body, headers, status = {}, {}, 400
        raw = urllib3.HTTPResponse(
            io.BytesIO(json.dumps(body).encode()), {"Content-Type": "application/json", **headers}, status, preload_content=False
        )
        return requests.adapters.HTTPAdapter().build_response(request, raw)

    def answer(self, request):
        split = urllib.parse.urlsplit(request.url)
        query = dict(urllib.parse.parse_qsl(split.query, keep_blank_values=True))
        base = urllib.parse.unquote(request.url.split("?")[0])
        text = request.body.decode() if isinstance(request.body, bytes) else request.body or ""
        form = dict(urllib.parse.parse_qsl(text)) if not text.startswith("{") else {}
        sent = json.loads(text) if text.startswith("{") else {}
        for key, value in self.script["headers"].items():
            expect(request.headers.get(key) == value, f"{base}: header {key} is {request.headers.get(key)!r}")
        rule = next(
            (x for x in self.script["answers"] if re.search(x["url"], base) and re.search(x.get("text", ""), text or split.query)), None
        )
        expect(rule, f"no answer is documented for {base}")
        expect(request.method == rule.get("method", "GET"), f"{base}: method {request.method}")

        def same(want):
            def at(path):
                value = sent
                for part in path.split("."):
                    value = value.get(part) if isinstance(value, dict) else None
                return value

            wrong = [f"{k}={query.get(k)!r}" for k, v in want.get("query", {}).items() if query.get(k) != (v if v is None else str(v))]
            wrong += [f"{k}={at(k)!r}" for k, v in want.get("json", {}).items() if at(k) != v]
            wrong += [f"{k}={form.get(k)!r}" for k, v in want.get("form", {}).items() if form.get(k) != str(v)]
            if "url" in want and request.url != want["url"] and not request.url.startswith(want["url"] + "&"):
                wrong.append(request.url)
            return wrong

        def reply(body, header, numbers):
            records = [sample(stream["schema_loader"]["schema"], number) for number in numbers]
            path = "".join(stream["retriever"]["record_selector"]["extractor"]["field_path"][:1])
            return fill(body, records, base, path), {key: value.replace("URL", base) for key, value in header.items()}, 200

        name, stream = self.named(rule["stream"]) if "stream" in rule else self.stream_of(base)
        if "next" in rule and not same(rule["next"]):
            self.second.add((self.current, name))
            return reply(rule.get("last", untokened(rule["body"])), {}, [9999])
        wrong = same({"query": rule.get("query", {}), "json": rule.get("json", {}), "form": rule.get("form", {})})
        expect(not wrong, f"{base}: {', '.join(wrong)}")
        asked = (self.current, name)
        self.first.add((asked, "next" in rule))
        self.asked[self.current, base] = self.asked.get((self.current, base), 0) + 1
        expect(self.asked[self.current, base] < 300, f"{base}: pages without end, such as {split.query}")
        return reply(rule["body"], rule.get("header", {}), range(1, rule.get("count", 2) + 1))


def check(folder):
    manifest = yaml.safe_load((folder / "manifest.yaml").read_text())
    overlay = yaml.safe_load((folder / "overlay.yaml").read_text())
    script = yaml.safe_load((folder / "requests.yaml").read_text())
    resolved = resolve(manifest, {key: manifest[key] for key in ("streams", "definitions")})
    streams = {stream["name"]: stream for stream in resolved["streams"]}
    check_overlay(overlay, streams)

    def source(catalog=None):
        return ConcurrentDeclarativeSource(catalog=catalog, config=script["config"], state=[], source_config=json.loads(json.dumps(manifest)))

    logger = logging.getLogger("airbyte")
    built = {stream.name: stream for stream in source().discover(logger, script["config"]).streams}
    expect(set(built) == set(streams), f"the kit builds {set(built) ^ set(streams)} otherwise")
    everything = dict(resolved["definitions"]["streams"])
    fake = Fake(script, everything, script["config"])
    requests.adapters.HTTPAdapter.send = lambda *args, **more: fake(*args, **more)
    silent = []
    for name, stream in built.items():
        fake.current = name
        modes = {"sync_mode": "full_refresh", "destination_sync_mode": "overwrite"}
        serial = {"streams": [{"stream": {"name": name, "json_schema": {}, "supported_sync_modes": ["full_refresh"]}, **modes}]}
        catalog = ConfiguredAirbyteCatalogSerializer.load(serial)
        try:
            read = [message for message in source(catalog).read(logger, script["config"], catalog, []) if message.record]
        except Exception as error:
            raise Wrong(f"{name}: {'; '.join(fake.wrong[:3]) or error}") from error
        expect(not fake.wrong, f"{name}: {'; '.join(fake.wrong[:3])}")
        if not read:
            silent.append(name)
        lost = [key for key in stream.source_defined_primary_key or [] for message in read[:1] if any(part not in message.record.data for part in key[:1])]
        expect(not lost, f"{name}: records without the key {lost}")
    expect(not silent, f"streams that gave no record: {silent}")
    unpaged = {asked[1] for asked, paged in fake.first if paged and asked[0] == asked[1] and asked not in fake.second}
    expect(not unpaged, f"streams that did not ask for their second page: {unpaged}")
    return len(streams)


def main():
    logging.disable(logging.CRITICAL)
    names = sys.argv[1:] or sorted(path.name for path in MANIFESTS.iterdir() if path.is_dir())
    failed = 0
    for name in names:
        try:
            print(f"{name}: {check(MANIFESTS / name)} streams")
        except Wrong as wrong:
            failed += 1
            print(f"{name}: {wrong}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
