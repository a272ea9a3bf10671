"""The same records with other programs: `others.py dlt-csv|dlt-jsonl|dlt-parquet|sqlite-utils FOLDER`."""

import itertools
import json
import os
import subprocess
import sys
from pathlib import Path

step, folder = sys.argv[1], Path(sys.argv[2])
target = folder / step
shards = sorted((folder / "account" / "records").glob("*.jsonl"))
collections = {name: list(paths) for name, paths in itertools.groupby(shards, lambda path: path.name.split("-")[0])}

if step == "sqlite-utils":
    target.mkdir()
    for name, paths in collections.items():
        lines = subprocess.Popen(["cat", *paths], stdout=subprocess.PIPE)
        command = [sys.executable, "-m", "sqlite_utils", "insert", target / "archive.db", name, "-", "--nl", "--pk", "id"]
        subprocess.run(command, stdin=lines.stdout, check=True)
else:
    os.environ["RUNTIME__DLTHUB_TELEMETRY"] = "false"
    import dlt

    def resource(name, paths):
        def read():
            for path in paths:
                with open(path, "rb") as shard:
                    yield [json.loads(line) for line in shard]

        return dlt.resource(read, name=name, primary_key="id")

    pipeline = dlt.pipeline(
        step.replace("-", "_"),
        pipelines_dir=str(target / "work"),
        destination=dlt.destinations.filesystem(bucket_url=str(target)),
        dataset_name="archive",
    )
    resources = [resource(name, paths) for name, paths in collections.items()]
    pipeline.run(resources, loader_file_format=step.removeprefix("dlt-")).raise_on_failed_jobs()
