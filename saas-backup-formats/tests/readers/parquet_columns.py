"""Reads an export of columns with programs that nobody here wrote: pyarrow and duckdb."""

import datetime
import decimal
import json
import sys
from pathlib import Path

import duckdb
import pyarrow
import pyarrow.dataset
import pyarrow.parquet

folder = Path(sys.argv[1])
manifest = json.loads((folder / "manifest.json").read_text())
connection = duckdb.connect()
for collection, place in manifest["collections"].items():
    table = pyarrow.dataset.dataset(folder / place["at"]).to_table()
    table.validate(full=True)
    assert table.num_rows == place["records"], (collection, table.num_rows, place)
    ids = table.column("_id").to_pylist()
    assert ids == sorted(ids, key=lambda text: text.encode()), collection
    relation = connection.read_parquet(str(folder / place["at"] / "*.parquet"))
    rows = relation.fetchall()
    assert len(rows) == place["records"], (collection, len(rows))
    # Every value of one reader is that of the other.
    position = relation.columns.index("_id")
    assert sorted(row[position] for row in rows) == sorted(ids)
    for path in (folder / place["at"]).iterdir():
        assert "saas-backup" == pyarrow.parquet.read_metadata(path).created_by

if "orders" in manifest["collections"]:
    table = pyarrow.parquet.read_table(folder / "orders" / "part-0000.parquet")
    assert table.schema.field("_created").type == pyarrow.timestamp("us", tz="UTC")
    assert table.schema.field("day").type == pyarrow.date32()
    assert table.schema.field("big").type == pyarrow.decimal128(20, 0)
    first = table.to_pylist()[0]
    assert first["_id"] == "1" and first["total"] == "1.10" and first["count"] == -5
    assert first["big"] == decimal.Decimal("18446744073709551616")
    assert first["day"] == datetime.date(2024, 2, 29)
    assert first["_created"] == datetime.datetime(2023, 11, 14, 22, 13, 20, tzinfo=datetime.timezone.utc)
    assert first["items"] == [
        {"sku": "a-1", "price": decimal.Decimal("9.90"), "options": ["red", "XL"]},
        {"sku": "b-2", "price": decimal.Decimal("10.00"), "options": []},
    ]
    assert first["matrix"] == [[1, 2], [3]] and first["labels"] == ["new", "-5", ""]
    assert first["customer"]["address"]["city"] == "Köln"
    assert first["_ref_tags"][1] == {"collection": "tags", "id": "gone", "account": None}
    types = dict(zip(*[iter(sum(connection.execute(
        "SELECT column_name, column_type FROM (DESCRIBE SELECT * FROM read_parquet(?))",
        [str(folder / "orders" / "*.parquet")],
    ).fetchall(), ()))] * 2))
    assert types["labels"] == "VARCHAR[]" and types["_created"] == "TIMESTAMP WITH TIME ZONE", types
    assert types["big"] == "DECIMAL(20,0)" and types["day"] == "DATE", types
    price = connection.execute(
        "SELECT sum(item.price) FROM (SELECT unnest(items) AS item FROM read_parquet(?))",
        [str(folder / "orders" / "*.parquet")],
    ).fetchone()[0]
    assert price == decimal.Decimal("19.90"), price
print("valid")
