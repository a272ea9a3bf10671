"""Writes what airbyte-cdk makes of templates, dates and periods, for the tests of `saas-backup-declarative`.

Run by hand, when a case is added:

    python3.11 -m venv /tmp/cdk && /tmp/cdk/bin/pip install airbyte-cdk==7.39.1
    /tmp/cdk/bin/python testing/declarative/oracle.py

The cases stand in `cases.json` beside this file and are ours; the answers go to
`saas-backup-declarative/src/template/tests/oracle.json`. With two arguments, other files are read and written.

The clock stands at 2026-03-01T12:00:00Z. A template's answer is `{"value": …}` (with tuples and lists alike), its text
(`str` of the value), or `{"error": true}`.
"""

import datetime
import json
import pathlib
import sys

NOW = datetime.datetime(2026, 3, 1, 12, 0, 0, tzinfo=datetime.timezone.utc)


class Frozen(datetime.datetime):
    @classmethod
    def now(cls, tz=None):
        return NOW.astimezone(tz) if tz else NOW.replace(tzinfo=None)


from airbyte_cdk.sources.declarative.datetime.datetime_parser import DatetimeParser
from airbyte_cdk.sources.declarative.interpolation import InterpolatedBoolean, InterpolatedString, macros
from airbyte_cdk.sources.declarative.interpolation.jinja import JinjaInterpolation
from airbyte_cdk.utils.datetime_helpers import ab_datetime_parse
from isodate import parse_duration


class FrozenModule:
    """`datetime` as the macros see it, where only the clock is another."""

    datetime = Frozen

    def __getattr__(self, name):
        return getattr(datetime, name)


class Meta(type(Frozen)):
    def __instancecheck__(cls, instance):
        return isinstance(instance, datetime.datetime)


FrozenModule.datetime = Meta("Frozen", (datetime.datetime,), {"now": Frozen.__dict__["now"], "strptime": datetime.datetime.strptime})
macros.datetime = FrozenModule()


def plain(value):
    if isinstance(value, (list, tuple)):
        return [plain(one) for one in value]
    if isinstance(value, dict):
        return {str(key): plain(one) for key, one in value.items()}
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, float) and value == value and abs(value) != float("inf"):
        return value
    return {"$": str(value)}


def attempt(make):
    try:
        value = make()
        return {"value": plain(value), "text": str(value)}
    except Exception:  # noqa: BLE001 what is wrong is not compared
        return {"error": True}


def template(text, context):
    context = dict(context)
    config = context.pop("config", {})
    parameters = context.pop("parameters", {})
    boolean = lambda: InterpolatedBoolean(condition=text, parameters=parameters).eval(config, **context)
    string = lambda: InterpolatedString(string=text, parameters=parameters).eval(config, **context)
    mapped = lambda: JinjaInterpolation().eval(text, config, parameters=parameters, **context)
    truth = attempt(boolean)
    return {"string": attempt(string), "mapped": attempt(mapped), "truth": truth.get("value", "error")}


def micros(moment):
    return (moment - datetime.datetime(1970, 1, 1, tzinfo=datetime.timezone.utc)) // datetime.timedelta(microseconds=1)


def moved(period, text, sign):
    moment = ab_datetime_parse(text).astimezone(datetime.timezone.utc)
    # A plain datetime, as the cursor has it.
    moment = datetime.datetime.fromtimestamp(0, datetime.timezone.utc) + datetime.timedelta(microseconds=micros(moment))
    return micros(moment + parse_duration(period) if sign > 0 else moment - parse_duration(period))


def main():
    here = pathlib.Path(__file__).parent
    arguments = sys.argv[1:]
    source = pathlib.Path(arguments[0]) if arguments else here / "cases.json"
    goal = pathlib.Path(arguments[1]) if arguments else here.parent.parent / "saas-backup-declarative/src/template/tests/oracle.json"
    cases = json.loads(source.read_text())
    # Maps come sorted, as the engine holds what it reads.
    cases["contexts"] = json.loads(json.dumps(cases["contexts"], sort_keys=True))
    parser = DatetimeParser()
    out = {
        "contexts": cases["contexts"],
        "templates": [
            {"template": text, "context": name, **template(text, cases["contexts"][name])}
            for text, name in (case if isinstance(case, list) else (case, "usual") for case in cases["templates"])
        ],
        "reads": [
            {"format": format, "text": text, "micros": attempt(lambda: micros(parser.parse(text, format))).get("value")}
            for format, text in cases["reads"]
        ],
        "writes": [
            {"format": format, "time": text, "text": attempt(lambda: parser.format(ab_datetime_parse(text), format)).get("value")}
            for format, text in cases["writes"]
        ],
        "any": [{"text": text, "micros": attempt(lambda: micros(ab_datetime_parse(text))).get("value")} for text in cases["any"]],
        "periods": [
            {
                "period": period,
                "time": text,
                "plus": attempt(lambda: moved(period, text, 1)).get("value"),
                "minus": attempt(lambda: moved(period, text, -1)).get("value"),
            }
            for period, text in cases["periods"]
        ],
    }
    lines = [f'"{name}":[\n' + ",\n".join(json.dumps(one, sort_keys=True) for one in out[name]) + "\n]" for name in list(out)[1:]]
    goal.write_text('{"contexts":' + json.dumps(out["contexts"], sort_keys=True) + ",\n" + ",\n".join(lines) + "}\n")


if __name__ == "__main__":
    main()
