"""The same pages with other programs: `peers.py dlt|singer`, and `peers.py load MANIFEST SETTINGS` with Airbyte's engine."""

import os
import sys
import time

step = sys.argv[1]
base = os.environ.get("BASE_URL", "")


def read_with_dlt():
    os.environ["RUNTIME__DLTHUB_TELEMETRY"] = "false"
    # So that its lines can be counted; and it takes less time.
    os.environ["DATA_WRITER__DISABLE_COMPRESSION"] = "true"
    os.environ["NORMALIZE__DATA_WRITER__DISABLE_COMPRESSION"] = "true"
    import dlt
    from dlt.sources.rest_api import rest_api_source

    pages = {"type": "page_number", "base_page": 0, "page_param": "page", "total_path": None}
    items = {"path": "items", "data_selector": "data", "params": {"per_page": 100}, "paginator": pages}
    source = rest_api_source({
        "client": {"base_url": base},
        "resources": [{"name": "items", "primary_key": "id", "endpoint": items}],
    })
    target = dlt.destinations.filesystem(bucket_url=os.path.abspath("archive"))
    pipeline = dlt.pipeline("items", pipelines_dir=os.path.abspath("work"), destination=target, dataset_name="archive")
    pipeline.run(source, loader_file_format="jsonl").raise_on_failed_jobs()


def read_with_singer():
    from singer_sdk import Tap
    from singer_sdk import typing as types
    from singer_sdk.pagination import BasePageNumberPaginator
    from singer_sdk.streams import RESTStream

    class Pages(BasePageNumberPaginator):
        def has_more(self, response):
            return response.json()["has_more"]

    text, whole, number = types.StringType, types.IntegerType, types.NumberType
    members = {
        "id": whole, "code": text, "name": text, "email": text, "created_at": types.DateTimeType,
        "updated_at": types.DateTimeType, "active": types.BooleanType, "score": number, "logins": whole, "phone": text,
        "address": types.ObjectType(additional_properties=True), "tags": types.ArrayType(text), "note": text,
    }

    class Items(RESTStream):
        name = "items"
        path = "items"
        url_base = base
        primary_keys = ("id",)
        records_jsonpath = "$.data[*]"
        schema = types.PropertiesList(*(types.Property(name, kind) for name, kind in members.items())).to_dict()

        def get_new_paginator(self):
            return Pages(0)

        def get_url_params(self, context, next_page_token):
            return {"page": next_page_token or 0, "per_page": 100}

    class Pupil(Tap):
        name = "tap-items"
        config_jsonschema = types.PropertiesList().to_dict()

        def discover_streams(self):
            return [Items(self)]

    Pupil(config={}).sync_all()


def load_with_cdk(manifest, settings):
    import json

    import yaml
    from airbyte_cdk.sources.declarative.concurrent_declarative_source import ConcurrentDeclarativeSource

    began = time.process_time()
    with open(manifest) as file:
        # What its command does with a file.
        definition = yaml.safe_load(file)
    config = json.loads(settings)
    source = ConcurrentDeclarativeSource(config=config, catalog=None, state=None, source_config=definition)
    streams = source.streams(config)
    print(time.process_time() - began, len(streams))


if step == "dlt":
    read_with_dlt()
elif step == "singer":
    read_with_singer()
else:
    load_with_cdk(sys.argv[2], sys.argv[3])
