"""Reads an export of tables with programs that nobody here wrote: frictionless, duckdb, pathvalidate."""

import json
import sys
from pathlib import Path

import duckdb
import pathvalidate
from frictionless import Package, system

folder = Path(sys.argv[1])
described = json.loads((folder / "datapackage.json").read_text())

with system.use_context(trusted=True):
    report = Package(str(folder / "datapackage.json")).validate()
if not report.valid:
    for error in report.flatten(["name", "rowNumber", "fieldName", "type", "note"])[:20]:
        print(error)
    for task in report.tasks:
        print(task.name, task.errors[:3])
    print(report.errors)
    sys.exit(1)
for task, resource in zip(report.tasks, described["resources"]):
    assert task.stats.get("rows", 0) == resource["rows"], (task.name, task.stats, resource["rows"])

connection = duckdb.connect()
types = {"boolean": "BOOLEAN", "integer": "BIGINT", "date": "DATE"}
for resource in described["resources"]:
    columns = {field["name"]: types.get(field["type"], "VARCHAR") for field in resource["schema"]["fields"]}
    rows = connection.execute(
        "SELECT * FROM read_csv(?, header=true, columns=$2, nullstr='\\N', quote='\"', escape='\"', delim=',', "
        "max_line_size=20000000, strict_mode=true)".replace("$2", repr(columns).replace("'", "'")),
        [str(folder / resource["path"])],
    ).fetchall()
    assert len(rows) == resource["rows"], (resource["name"], len(rows), resource["rows"])

for path in folder.rglob("*"):
    pathvalidate.validate_filepath(str(path.relative_to(folder)), platform="universal")
print("valid")
