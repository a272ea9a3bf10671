"""Reads calendars with icalendar and vobject, and imports them into radicale."""

import os
import sys

import icalendar
import vobject

from dav import Server

server, number = Server(), 0
root = sys.argv[1]
for above, _, here in sorted(os.walk(root)):
    if os.path.relpath(above, root).startswith("_"):
        continue
    for name in sorted(here):
        if not name.endswith(".ics"):
            continue
        with open(os.path.join(above, name), "rb") as file:
            content = file.read()
        calendar = icalendar.Calendar.from_ical(content)
        assert not calendar.errors, calendar.errors
        events = calendar.walk("VEVENT")
        for event in calendar.walk():
            assert not event.errors, event.errors
        for event in events:
            start = event.decoded("DTSTART")
            end = event.decoded("DTEND") if "DTEND" in event else start
            zone = event["DTSTART"].params.get("TZID")
            print(name, event["UID"][:20], start.isoformat(), end.isoformat(), zone, event.get("SUMMARY", ""), sep=" | ")
            assert end >= start
        parsed = vobject.readOne(content.decode("utf-8"))
        parsed.validate(raiseException=True)
        assert len(parsed.contents["vevent"]) == len(events)
        number += 1
        items = server.count(f"/user/{number}.ics/", content, "text/calendar")
        uids = {str(event["UID"]) for event in events}
        assert items == len(uids), (name, items, uids)
        print(name, f"{items} in radicale", sep=" | ")
