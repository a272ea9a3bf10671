"""Reads an archive in a database with programs that nobody here wrote: Python's sqlite3 and Datasette."""

import json
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from pathlib import Path

folder = Path(sys.argv[1])
database = folder / "archive.db"
connection = sqlite3.connect(f"file:{database}?mode=ro&immutable=1", uri=True)
assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
assert connection.execute("PRAGMA foreign_key_check").fetchall() == []

collections = connection.execute('SELECT collection, "table", "view", full_text, records FROM _collections').fetchall()
assert collections
for collection, table, view, index, records in collections:
    for name in (table, view):
        counted = connection.execute(f'SELECT count(*) FROM "{name}"').fetchone()[0]
        assert counted == records, (name, counted, records)

# The index compares itself with the rows only where it may write.
with tempfile.TemporaryDirectory() as scratch:
    copy = shutil.copy(database, scratch)
    writable = sqlite3.connect(copy)
    for _, table, _, index, _ in collections:
        if index:
            writable.execute(f'INSERT INTO "{index}" ("{index}", rank) VALUES (\'integrity-check\', 1)')
    writable.close()


def datasette(*arguments):
    command = [sys.executable, "-m", "datasette", *arguments]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


inspected = datasette("inspect", str(database))
tables = inspected["archive"]["tables"]
for _, table, _, _, records in collections:
    assert tables[table]["count"] == records, (table, tables[table], records)
serve = ["serve", "--metadata", str(folder / "metadata.json"), "--immutable", str(database), "--get"]
shown = datasette(*serve, "/archive.json")
by_name = {table["name"]: table for table in shown["tables"]}
for _, table, view, index, records in collections:
    assert by_name[table]["count"] == records and by_name[table]["fts_table"] == index, by_name[table]
    assert view in {view["name"] for view in shown["views"]}, view
if "orders" in by_name:
    found = datasette(*serve, "/archive/orders.json?_search=hyperlink&_shape=array")
    assert [row["_id"] for row in found] == ["1"], found
    row = datasette(*serve, "/archive/orders/1.json?_shape=objects")["rows"][0]
    assert (row["total"], row["big"], row["count"]) == ("1.10", "18446744073709551616", -5), row
print("valid")
