use std::fs;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use saas_backup_core::{
    BlobRef, Body, Catalog, Collection, FieldMapping, Kind, Markup, Record, RecordState, RefRule, WriteMode,
};
use saas_backup_formats::ics::{IcsConfig, IcsConnector, check};
use serde_json::json;

use crate::personal::{assert_round_trip, blob, hostile_catalog, hostile_records, record, reference, shown};
use crate::support::{
    assert_conforms_as_sink, assert_reads_back, assert_same_in_any_order, files, name, puts, start, time, write,
};

fn connector(path: &Path) -> IcsConnector {
    IcsConnector::new(IcsConfig::new(path))
}

fn catalog() -> Catalog {
    let mut fields = FieldMapping::default();
    fields.title = Some("summary".to_owned());
    fields.body = Some(Body::new("description", Markup::Html));
    fields.parent = Some("calendar".to_owned());
    fields.labels = vec!["tags".to_owned()];
    for (property, path) in [
        ("uid", "iCalUID"),
        ("start", "start"),
        ("end", "end"),
        ("all_day", "isAllDay"),
        ("time_zone", "zone"),
        ("location", "location"),
        ("recurrence", "recurrence"),
        ("recurrence_id", "originalStartTime"),
        ("exceptions", "skipped"),
        ("organizer", "organizer"),
        ("attendees", "attendees"),
        ("status", "status"),
        ("sequence", "sequence"),
        ("url", "htmlLink"),
        ("reminders", "reminders"),
        ("raw", "raw"),
    ] {
        fields.properties.insert(property.to_owned(), path.to_owned());
    }
    let mut titled = FieldMapping::default();
    titled.title = Some("name".to_owned());
    Catalog::new(vec![
        Collection::new(name("events"), Kind::Event)
            .with_title("Events")
            .with_fields(fields)
            .with_ref(RefRule::one("calendar", name("calendars")))
            .with_ref(RefRule::many("tags", name("tags"))),
        Collection::new(name("calendars"), Kind::Other).with_fields(titled.clone()),
        Collection::new(name("tags"), Kind::Record).with_fields(titled),
        Collection::new(name("birthdays"), Kind::Event),
    ])
}

/// An invitation as another program sent it: bare line feeds, a zone of its own, and one that it does not describe.
const INVITATION: &str = "BEGIN:VCALENDAR\nVERSION:2.0\nPRODID:-//other//EN\nMETHOD:REQUEST\nBEGIN:VTIMEZONE\n\
TZID:Customized Time Zone\nBEGIN:STANDARD\nDTSTART:16010101T000000\nTZOFFSETFROM:+0545\nTZOFFSETTO:+0545\nEND:STANDARD\n\
END:VTIMEZONE\nBEGIN:VEVENT\nUID:invite-1\nDTSTAMP:20240101T000000Z\nDTSTART;TZID=Customized Time Zone:20240501T090000\n\
DTEND;TZID=\"Pacific Standard Time\":20240501T100000\nSUMMARY:Verbatim\\, as it came with a long line that has to be folded \
because it is long\nX-OWN;X=1:kept\nBEGIN:VALARM\nACTION:DISPLAY\nTRIGGER:-PT5M\nEND:VALARM\nEND:VEVENT\nEND:VCALENDAR\n";

fn world() -> (Vec<Record>, Vec<(BlobRef, Bytes)>) {
    let event = |id: &str, calendar: &str, data: serde_json::Value| {
        let mut event = record("events", id, &data).with_ref("calendar", reference("calendars", calendar));
        event.created = Some(time(0));
        event.modified = Some(time(60));
        event
    };
    let (picture, picture_bytes) = blob("p", "attachment", "Plan: A.png", "image/png", b"\x89PNG");
    let (invitation, invitation_bytes) =
        blob("i", "original", "invite.ics", "text/calendar; charset=utf-8", INVITATION.as_bytes());
    let mut trashed = event("5", "work", json!({ "summary": "gone", "start": "2024-01-01" }));
    trashed.state = RecordState::Trashed;
    let records = vec![
        record("calendars", "work", &json!({ "name": "Work: team / a" })),
        record("calendars", "home", &json!({ "name": "work: TEAM / A" })),
        record("tags", "t", &json!({ "name": "red, or blue" })),
        event("1", "work", json!({
            "iCalUID": "meeting@example", "summary": "Weekly; with, all\\that\nand 🎉🎉🎉🎉🎉🎉🎉🎉🎉🎉🎉🎉🎉🎉🎉🎉🎉🎉🎉 ÄÖÜ",
            "description": "<p>Hello <b>you</b></p><p>Line &amp; two</p><script>alert(1)</script>",
            "start": { "dateTime": "2024-03-25T10:00:00+01:00", "timeZone": "Europe/Berlin" },
            "end": { "dateTime": "2024-03-25T11:00:00+01:00", "timeZone": "Europe/Berlin" },
            "recurrence": ["RRULE:FREQ=WEEKLY;UNTIL=20240630;BYDAY=MO", "EXDATE;TZID=Europe/Berlin:20240408T100000"],
            "skipped": ["2024-04-15T08:00:00Z", "2024-04-22"],
            "location": { "displayName": "Room 1" }, "status": "confirmed", "sequence": 2,
            "htmlLink": "https://calendar.example/e?eid=1;2,3",
            "organizer": { "email": "boss@example.com", "displayName": "The \"Boss\": me" },
            "attendees": [
                { "email": "a@example.com", "displayName": "Doe, Jane", "responseStatus": "accepted" },
                { "emailAddress": { "address": "b@example.com", "name": "B" }, "status": { "response": "tentativelyAccepted" }, "type": "optional" },
                { "displayName": "Nobody" }, "c@example.com", {}
            ],
            "reminders": [10, { "method": "email", "minutes": 1440 }, "-PT1H", { "method": "popup" }],
        }))
        .with_refs("tags", vec![reference("tags", "t"), reference("tags", "gone")])
        .with_blob(picture.clone())
        .with_blob(BlobRef::external("https://files.example/a b.pdf", "attachment")),
        event("1_override", "work", json!({
            "iCalUID": "meeting@example", "summary": "Moved",
            "originalStartTime": { "dateTime": "2024-04-29T10:00:00+02:00", "timeZone": "Europe/Berlin" },
            "start": { "dateTime": "2024-04-29T12:00:00+02:00", "timeZone": "Europe/Berlin" },
            "end": { "dateTime": "2024-04-29T11:00:00+02:00", "timeZone": "Europe/Berlin" },
        })),
        event("2", "work", json!({
            "summary": "All day", "start": { "date": "2024-05-01" }, "end": { "date": "2024-05-02" },
            "recurrence": "FREQ=YEARLY;UNTIL=20300501T000000Z", "skipped": ["2025-05-01"],
        })),
        event("3", "work", json!({ "iCalUID": "meeting@example", "summary": "Same identity", "start": "2024-06-01T10:00:00" })),
        event("4", "work", json!({ "summary": "No start", "status": "maybe" })),
        trashed,
        event("6", "home", json!({
            "summary": "Windows", "zone": "Pacific Standard Time", "isAllDay": false,
            "start": { "dateTime": "2024-11-03T01:30:00.0000000" }, "end": { "dateTime": "2024-11-03T03:00:00.0000000" },
            "recurrence": [{ "pattern": { "type": "daily" } }, "FREQ=SOMETIMES"],
        })),
        event("7", "home", json!({ "summary": "Mars", "zone": "Mars/Olympus", "start": "2024-11-03T01:30:00Z" })),
        record("events", "8", &json!({ "summary": "In no calendar", "start": "2024-11-03T01:30:00Z", "isAllDay": "true" })),
        event("9", "home", json!({ "summary": "not used" })).with_blob(invitation.clone()),
        event("a", "home", json!({ "raw": "no calendar", "summary": "Broken original", "start": 1_700_000_000 })),
        event("b", "lost", json!({ "summary": "NUL \u{0} BEL \u{7} \u{202e}RTL", "start": "2024-01-01T00:00:00+14:00" })),
        record("birthdays", "x", &json!({ "unmapped": true })),
    ];
    (records, vec![(picture, picture_bytes), (invitation, invitation_bytes)])
}

async fn written(folder: &Path) -> PathBuf {
    let path = folder.join("calendars");
    let (records, blobs) = world();
    write(&connector(&path), WriteMode::Create, &start(catalog(), 0), puts(&records), &blobs).await.unwrap();
    path
}

#[tokio::test]
async fn calendars_read_like_this() {
    let folder = tempfile::tempdir().unwrap();
    let path = written(folder.path()).await;
    let mut tree = files(&path);
    tree.retain(|file, _| !file.starts_with("_source"));
    insta::assert_snapshot!(shown(&tree));
}

#[tokio::test]
async fn what_is_written_has_no_fault() {
    let folder = tempfile::tempdir().unwrap();
    let path = written(folder.path()).await;
    let report = connector(&path).check_content().await.unwrap();
    assert_eq!(report.findings, []);
    assert_eq!((report.checked["events"], report.checked["rules"]), (10, 2), "{report:?}");
    assert!(connector(&path).verify().await.unwrap().is_clean());
}

#[test]
fn planted_faults_are_found() {
    let good = "BEGIN:VCALENDAR\nVERSION:2.0\nPRODID:x\nBEGIN:VTIMEZONE\nTZID:Europe/Berlin\nBEGIN:STANDARD\n\
        DTSTART:19700101T000000\nTZOFFSETFROM:+0100\nTZOFFSETTO:+0100\nEND:STANDARD\nEND:VTIMEZONE\nBEGIN:VEVENT\nUID:1\n\
        DTSTAMP:20240101T000000Z\nDTSTART;TZID=Europe/Berlin:20240101T100000\nDTEND;TZID=Europe/Berlin:20240101T110000\n\
        RRULE:FREQ=DAILY\nEXDATE;TZID=Europe/Berlin:20240102T100000\nEND:VEVENT\nEND:VCALENDAR\n";
    let event = "BEGIN:VEVENT\nUID:1\nDTSTAMP:20240101T000000Z\nDTSTART:20240101T100000Z\nEND:VEVENT\n";
    let long = format!("SUMMARY:{}\nEND:VEVENT", "x".repeat(80));
    let twice = format!("{event}END:VCALENDAR");
    let apart = format!(
        "{}{}END:VCALENDAR",
        event.replace("UID:1", "UID:2"),
        event.replace("UID:1\n", "UID:1\nRECURRENCE-ID:20240101T100000Z\n")
    );
    let cases: &[(&str, &str, &str)] = &[
        ("", "", ""),
        ("TZID:Europe/Berlin", "TZID:Europe/Paris", "is named and not described"),
        (
            "DTEND;TZID=Europe/Berlin:20240101T110000",
            "DTEND;TZID=Europe/Berlin:20240101T090000",
            "end before the start",
        ),
        ("DTEND;TZID=Europe/Berlin:20240101T110000", "DTEND;VALUE=DATE:20240102", "a day and a time"),
        ("DTEND;TZID=Europe/Berlin:20240101T110000", "DTEND:20240101T110000", "of which one alone has a zone"),
        ("UID:1\n", "", "without UID"),
        ("DTSTAMP:20240101T000000Z\n", "", "without DTSTAMP"),
        ("PRODID:x\n", "", "without PRODID"),
        ("FREQ=DAILY", "FREQ=FORTNIGHTLY", "a rule that is none"),
        ("EXDATE;TZID=Europe/Berlin:", "EXDATE;TZID=:", "an exception in another form"),
        ("20240102T100000", "20240102", "of another form than it says"),
        ("DTSTART;TZID=Europe/Berlin:20240101T100000", "DTSTART:20240199T100000", "a time that is none"),
        ("END:VEVENT", &long, "more than 75 octets"),
        ("END:VCALENDAR", &twice, "the same UID"),
        ("END:VCALENDAR", &apart, "stands apart"),
        ("END:VCALENDAR\n", "", "does not end"),
        ("END:VEVENT\n", "", "an end of what did not begin"),
        ("RRULE:", "RRULE ", "no property"),
        ("BEGIN:VCALENDAR\n", "COMMENT:x\nBEGIN:VCALENDAR\n", "outside of the calendar"),
    ];
    for (from, to, expected) in cases {
        let folder = tempfile::tempdir().unwrap();
        let text = if from.is_empty() { good.to_owned() } else { good.replacen(from, to, 1) };
        assert_eq!(from.is_empty(), text == good);
        fs::write(folder.path().join("a.ics"), text.replace('\n', "\r\n")).unwrap();
        fs::write(folder.path().join("names.json"), "[\n{\"file\":\"a.ics\",\"collection\":\"x\"}\n]\n").unwrap();
        let report = check(folder.path()).unwrap();
        let found: Vec<&str> = report.findings.iter().map(|found| found.problem.as_str()).collect();
        let as_expected =
            if expected.is_empty() { found.is_empty() } else { found.iter().any(|it| it.contains(expected)) };
        assert!(as_expected, "{from:?}: {found:?}");
    }
    for (bytes, expected) in [
        (good.as_bytes().to_vec(), "does not end with CRLF"),
        (good.replace('\n', "\r\n").replace("UID:1", "UID:\u{e4}").into_bytes(), ""),
        (
            {
                // Folded between the two bytes of a letter.
                let text = good.replace('\n', "\r\n").replace("UID:1", "UID:\u{e4}").into_bytes();
                let at = text.windows(2).position(|pair| pair == "\u{e4}".as_bytes()).unwrap() + 1;
                [&text[..at], b"\r\n ", &text[at..]].concat()
            },
            "folded within a character",
        ),
    ] {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("a.ics"), bytes).unwrap();
        fs::write(folder.path().join("names.json"), "[\n{\"file\":\"a.ics\",\"collection\":\"x\"}\n]\n").unwrap();
        let report = check(folder.path()).unwrap();
        let found = report.findings.iter().any(|found| !expected.is_empty() && found.problem.contains(expected));
        assert_eq!(found, !expected.is_empty(), "{report:?}");
    }
}

#[tokio::test]
async fn the_same_records_in_any_order_give_the_same_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let first = files(&written(folder.path()).await);
    let path = folder.path().join("again");
    let (records, blobs) = world();
    assert_same_in_any_order(&connector(&path), &path, &first, (start(catalog(), 77), puts(&records), blobs)).await;
}

#[tokio::test]
async fn it_reads_back_everything() {
    let folder = tempfile::tempdir().unwrap();
    assert_reads_back(&connector(&folder.path().join("calendars"))).await;
}

#[tokio::test]
async fn the_conformance_checks_of_sinks_pass() {
    assert_conforms_as_sink(connector).await;
}

const PROPERTIES: [&str; 17] = [
    "uid",
    "start",
    "end",
    "all_day",
    "time_zone",
    "location",
    "recurrence",
    "recurrence_id",
    "exceptions",
    "organizer",
    "attendees",
    "status",
    "sequence",
    "url",
    "reminders",
    "title",
    "body",
];

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(40))]

    #[test]
    fn whatever_records_hold_the_files_have_no_fault_and_read_back(records in hostile_records("events", &PROPERTIES)) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("out");
        assert_round_trip(&connector(&path), hostile_catalog("events", Kind::Event, &PROPERTIES), &records);
        proptest::prop_assert_eq!(check(&path).unwrap().findings, []);
    }
}

mod live_readers {
    use super::*;
    use crate::personal::many_hostile_records;
    use crate::support::python;

    #[tokio::test]
    #[ignore = "needs Python with icalendar, vobject and radicale"]
    async fn icalendar_vobject_and_radicale_read_every_event() {
        let folder = tempfile::tempdir().unwrap();
        let path = written(folder.path()).await;
        insta::assert_snapshot!(python("ics.py", &path));
    }

    #[tokio::test]
    #[ignore = "needs Python with icalendar, vobject and radicale"]
    async fn they_read_whatever_records_hold() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("out");
        let catalog = hostile_catalog("events", Kind::Event, &PROPERTIES);
        let records = many_hostile_records("events", &PROPERTIES);
        write(&connector(&path), WriteMode::Create, &start(catalog, 0), puts(&records), &[]).await.unwrap();
        assert!(python("ics.py", &path).lines().count() > 50);
    }
}
