"""Finds the attachment of the only record as readers of the format find it, and prints the SHA-256 of its bytes."""

import base64
import hashlib
import json
import sqlite3
import sys
import zipfile
from pathlib import Path

import bagit
import duckdb
import icalendar
import pyarrow.dataset
import vobject
from frictionless import Package, system

BLOCK = 1 << 20


def in_lines(folder):
    with open(folder / "records/things.jsonl", encoding="utf-8") as lines:
        (record,) = map(json.loads, lines)
    (blob,) = record["blobs"]
    digest = base64.b64decode(blob["digest"]["sha-256"]).hex()
    return f"blobs/{digest[:2]}/{digest}"


def in_names(folder):
    named = json.loads((folder / "names.json").read_text())
    (entry,) = [entry for entry in named if entry.get("name") == "large.bin"]
    return entry["file"]


def in_bag(folder):
    bag = bagit.Bag(str(folder))
    bag.validate()
    file = "data/" + in_lines(folder / "data")
    assert file in bag.payload_entries()
    return file


def in_csv(folder):
    with system.use_context(trusted=True):
        package = Package(str(folder / "datapackage.json"))
        report = package.validate()
        assert report.valid, report.errors
        (row,) = package.get_resource("things__blobs").read_rows()
    return row["file"]


def in_parquet(folder):
    (row,) = pyarrow.dataset.dataset(folder / "things").to_table().to_pylist()
    (blob,) = row["_blobs"]
    query = "SELECT unnest(_blobs).file FROM read_parquet(?)"
    assert duckdb.execute(query, [str(folder / "things/*.parquet")]).fetchall() == [(blob["file"],)]
    return blob["file"]


def database(folder):
    connection = sqlite3.connect(f"file:{folder / 'archive.db'}?mode=ro&immutable=1", uri=True)
    assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    assert connection.execute("PRAGMA foreign_key_check").fetchall() == []
    return connection


def in_sqlite(folder):
    connection = sqlite3.connect(f"file:{folder / 'archive.db'}?mode=ro&immutable=1", uri=True)
    assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    assert connection.execute("PRAGMA foreign_key_check").fetchall() == []
    inside = connection.execute("SELECT b.rowid FROM _blobs AS b JOIN things__blobs USING (sha256)").fetchall()
    if not inside:
        ((file,),) = connection.execute("SELECT file FROM things__blobs").fetchall()
        return file
    ((row,),) = inside
    return connection.blobopen("_blobs", "content", row, readonly=True)


def in_ics(folder):
    calendar = icalendar.Calendar.from_ical((folder / "things/things.ics").read_bytes())
    (event,) = calendar.walk("VEVENT")
    return str(event["X-SAAS-BACKUP-FILE"])


def in_vcf(folder):
    for path in (folder / "things").glob("*.vcf"):
        (card,) = vobject.readComponents(path.read_text(encoding="utf-8"))
        assert card.fn.value == "Large" and "photo" not in card.contents, card
    return in_names(folder)


def in_zip(file):
    return zipfile.ZipFile(file).open("drive/things/large.bin")


READERS = {
    "bagit": in_bag,
    "csv": in_csv,
    "files": in_names,
    "ics": in_ics,
    "jsonl": in_lines,
    "parquet": in_parquet,
    "sqlite": in_sqlite,
    "vcf": in_vcf,
}
export = Path(sys.argv[1])
if export.is_dir():
    form = json.loads((export / "manifest.json").read_text())["format"].removeprefix("saas-backup-")
    found = READERS[form](export)
else:
    found = in_zip(export)
digest = hashlib.sha256()
# What lies within another file is found opened.
with open(export / found, "rb") if isinstance(found, str) else found as content:
    while block := content.read(BLOCK):
        digest.update(block)
print(digest.hexdigest())
