//! Rules of repetition: `FREQ=WEEKLY;BYDAY=MO`.

use chrono::NaiveDateTime;

use super::time::When;

const FREQUENCIES: [&str; 7] = ["SECONDLY", "MINUTELY", "HOURLY", "DAILY", "WEEKLY", "MONTHLY", "YEARLY"];
const DAYS: [&str; 7] = ["MO", "TU", "WE", "TH", "FR", "SA", "SU"];

/// What is wrong with a rule, if something is.
pub(super) fn fault_of(rule: &str) -> Option<&'static str> {
    let mut seen = Vec::new();
    for part in rule.split(';') {
        let Some((name, value)) = part.split_once('=') else { return Some("a part has no value") };
        let name = name.to_ascii_uppercase();
        if seen.contains(&name) {
            return Some("a part stands twice");
        }
        if !is_valid(&name, value) {
            return Some("a part has a value that it cannot have");
        }
        seen.push(name);
    }
    let has = |name: &str| seen.iter().any(|seen| seen == name);
    if !has("FREQ") {
        Some("it says not how often")
    } else if has("COUNT") && has("UNTIL") {
        Some("it ends both by number and by time")
    } else {
        None
    }
}

fn is_valid(name: &str, value: &str) -> bool {
    let upper = value.to_ascii_uppercase();
    let list = |low: i32, high: i32| {
        upper.split(',').all(|item| item.parse::<i32>().is_ok_and(|number| (low..=high).contains(&number)))
    };
    let signed = |high: i32| list(-high, high) && upper.split(',').all(|item| item.parse() != Ok(0));
    match name {
        "FREQ" => FREQUENCIES.contains(&upper.as_str()),
        "UNTIL" => When::parse(value, None).is_some() && matches!(value.len(), 8 | 15 | 16),
        "COUNT" | "INTERVAL" => value.parse::<u32>().is_ok_and(|number| number > 0),
        "BYSECOND" => list(0, 60),
        "BYMINUTE" => list(0, 59),
        "BYHOUR" => list(0, 23),
        "BYDAY" => upper.split(',').all(is_day),
        "BYMONTHDAY" => signed(31),
        "BYYEARDAY" | "BYSETPOS" => signed(366),
        "BYWEEKNO" => signed(53),
        "BYMONTH" => upper.split(',').all(|month| {
            month.strip_suffix('L').unwrap_or(month).parse::<u32>().is_ok_and(|month| (1..=13).contains(&month))
        }),
        "WKST" => DAYS.contains(&upper.as_str()),
        "RSCALE" | "SKIP" => !value.is_empty(),
        _ => name.starts_with("X-"),
    }
}

fn is_day(item: &str) -> bool {
    let Some((number, day)) = item.len().checked_sub(2).and_then(|end| item.split_at_checked(end)) else {
        return false;
    };
    let numbered = number.is_empty() || number.parse::<i32>().is_ok_and(|number| number != 0 && number.abs() <= 53);
    numbered && DAYS.contains(&day)
}

/// The rule with an end of the form that an event with this start must have: a day for days, UTC where a zone is named.
pub(super) fn fitted(rule: &str, start: When) -> String {
    let parts = rule.split(';').map(|part| match part.split_once('=') {
        Some((name, value)) if name.eq_ignore_ascii_case("UNTIL") => format!("{name}={}", until(value, start)),
        _ => part.to_owned(),
    });
    parts.collect::<Vec<_>>().join(";")
}

fn until(value: &str, start: When) -> String {
    let Some(end) = When::parse(value, None) else { return value.to_owned() };
    let last_second = |when: When| when.local().date().and_hms_opt(23, 59, 59).unwrap_or_else(|| when.local());
    let utc = |local: NaiveDateTime, like: When| match like {
        When::Zoned(_, zone) => When::Zoned(local, zone).instant().unwrap_or(local),
        _ => local,
    };
    let end = match (start, end) {
        (When::Date(_), end) => When::Date(end.local().date()),
        (When::Floating(_), When::Date(_)) => When::Floating(last_second(end)),
        (When::Floating(_), end) => When::Floating(end.local()),
        (_, When::Date(_)) => When::Utc(utc(last_second(end), start)),
        (_, When::Floating(local)) => When::Utc(utc(local, start)),
        (_, end) => end,
    };
    end.value()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bad_rules_are_told_from_good_ones() {
        let good = [
            "FREQ=DAILY",
            "FREQ=WEEKLY;UNTIL=20241231T225959Z;BYDAY=MO,WE",
            "FREQ=MONTHLY;BYDAY=-1FR;BYSETPOS=-1;COUNT=10",
            "FREQ=YEARLY;BYMONTH=3;BYMONTHDAY=23,24;BYDAY=FR;WKST=SU",
            "freq=daily;interval=2;until=20240101",
        ];
        for rule in good {
            assert_eq!(fault_of(rule), None, "{rule}");
        }
        let bad = [
            "",
            "DAILY",
            "FREQ=SOMETIMES",
            "BYDAY=MO",
            "FREQ=DAILY;COUNT=0",
            "FREQ=DAILY;COUNT=3;UNTIL=20240101",
            "FREQ=DAILY;UNTIL=tomorrow",
            "FREQ=DAILY;UNTIL=20241399",
            "FREQ=WEEKLY;BYDAY=XX",
            "FREQ=WEEKLY;BYDAY=0MO",
            "FREQ=MONTHLY;BYMONTHDAY=32",
            "FREQ=MONTHLY;BYMONTHDAY=0",
            "FREQ=DAILY;FREQ=DAILY",
            "FREQ=DAILY;BYEASTER=1",
        ];
        for rule in bad {
            assert!(fault_of(rule).is_some(), "{rule}");
        }
    }

    #[test]
    fn the_end_of_a_rule_has_the_form_of_the_start() {
        let zoned = When::parse("2024-01-01T10:00:00", super::super::time::zone_of("Europe/Berlin")).unwrap();
        let date = When::parse("2024-01-01", None).unwrap();
        let floating = When::parse("2024-01-01T10:00:00", None).unwrap();
        let cases = [
            ("FREQ=DAILY;UNTIL=20240701", zoned, "FREQ=DAILY;UNTIL=20240701T215959Z"),
            ("FREQ=DAILY;UNTIL=20240701T100000", zoned, "FREQ=DAILY;UNTIL=20240701T080000Z"),
            ("FREQ=DAILY;UNTIL=20240701T100000Z", zoned, "FREQ=DAILY;UNTIL=20240701T100000Z"),
            ("UNTIL=20240701T100000Z;FREQ=DAILY", date, "UNTIL=20240701;FREQ=DAILY"),
            ("FREQ=DAILY;UNTIL=20240701T100000Z", floating, "FREQ=DAILY;UNTIL=20240701T100000"),
            ("FREQ=DAILY;COUNT=3", floating, "FREQ=DAILY;COUNT=3"),
        ];
        for (rule, start, expected) in cases {
            assert_eq!(fitted(rule, start), expected);
        }
    }
}
