"""Walks a tree of original files: names, digests, and that names.json names every file and folder."""

import hashlib
import json
import os
import sys

from pathvalidate import Platform, validate_filepath

OWN = {"names.json", "manifest.json", "losses.ndjson", "gaps.jsonl", "report.json", "SHA256SUMS"}

root = sys.argv[1]
with open(os.path.join(root, "names.json"), encoding="utf-8") as names:
    named = {entry["file"]: entry for entry in json.load(names)}

files, folders = set(), set()
for above, below, here in os.walk(root):
    for name in here + below:
        path = os.path.relpath(os.path.join(above, name), root).replace(os.sep, "/")
        for platform in (Platform.WINDOWS, Platform.MACOS, Platform.LINUX):
            validate_filepath(path, platform=platform, max_len=260)
        if path.split("/")[0] == "_source" or path in OWN:
            continue
        (files if name in here else folders).add(path if name in here else path + "/")

assert files == {path for path in named if not path.endswith("/")}, files ^ named.keys()
assert {path for path in named if path.endswith("/")} <= folders
for path in files:
    with open(os.path.join(root, path), "rb") as content:
        assert hashlib.file_digest(content, "sha256").hexdigest() == named[path]["sha256"], path
print(f"{len(files)} files, {len(named) - len(files)} folders")
