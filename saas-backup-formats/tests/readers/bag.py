"""A bag that bagit-python validates, whose RO-Crate metadata names files that are there."""

import json
import pathlib
import sys
import urllib.parse

import bagit

folder = pathlib.Path(sys.argv[1])
bag = bagit.Bag(str(folder))
bag.validate()
assert bag.info["Payload-Oxum"], bag.info
assert sum(1 for _ in bag.payload_files()) > 3

graph = json.loads((folder / "data/ro-crate-metadata.json").read_text())["@graph"]
entities = {entity["@id"]: entity for entity in graph}
root = entities[entities["ro-crate-metadata.json"]["about"]["@id"]]
assert root["name"] and root["datePublished"] and root["license"], root
parts = [part["@id"] for part in root["hasPart"]]
assert parts, root
for part in parts:
    assert part in entities, part
    assert (folder / "data" / urllib.parse.unquote(part)).exists(), part
