use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;

use crate::support::{Sandbox, signal};

#[test]
fn a_scheduler_needs_a_schedule() {
    let ran = Sandbox::with_notes().run(&["serve"]).expect(2);
    assert!(ran.stderr.contains("schedule = "), "{}", ran.stderr);
}

#[cfg(unix)]
#[test]
fn the_scheduler_backs_up_tells_monitoring_and_stops_in_order() {
    let sandbox = Sandbox::with_notes();
    sandbox.reconfigure("connector = \"jsonl\"", "connector = \"jsonl\"\nschedule = \"* * * * * *\"\nrpo = \"2h\"");
    let mut child = sandbox.start(&["serve", "--listen", "127.0.0.1:0"]);
    let mut stderr = BufReader::new(child.stderr.take().unwrap());
    let mut line = String::new();
    let address = loop {
        line.clear();
        assert_ne!(stderr.read_line(&mut line).unwrap(), 0, "the scheduler ended");
        if let Some(rest) = line.strip_prefix("listening on http://") {
            break rest.split(' ').next().unwrap().to_owned();
        }
    };
    assert!(get(&address, "/healthz").ends_with("ok\n"));
    assert!(get(&address, "/else").starts_with("HTTP/1.1 404"));
    let metrics = loop {
        let metrics = get(&address, "/metrics");
        if metrics.contains("last_run_status") && metrics.contains("status=\"complete\"") {
            break metrics;
        }
        std::thread::yield_now();
    };
    assert!(metrics.contains("saas_backup_rpo_seconds{source=\"notes\"} 7200\n"), "{metrics}");
    let second = sandbox.run(&["serve"]).expect(6);
    assert!(second.stderr.contains("another scheduler"), "{}", second.stderr);

    signal(&child, "TERM");
    let mut rest = String::new();
    stderr.read_to_string(&mut rest).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0), "{rest}");
    assert!(rest.contains("stopping") && rest.ends_with("stopped\n"), "{rest}");
    assert!(sandbox.run(&["snapshots"]).expect(0).stdout.contains("complete"));
}

#[cfg(unix)]
#[test]
fn a_hangup_has_the_configuration_read_anew_and_a_wrong_one_is_refused() {
    let sandbox = Sandbox::with_notes();
    sandbox.reconfigure("connector = \"jsonl\"", "connector = \"jsonl\"\nschedule = \"0 0 1 1 *\"");
    let mut child = sandbox.start(&["serve", "--listen", "127.0.0.1:0"]);
    let mut stderr = BufReader::new(child.stderr.take().unwrap());
    let mut until = |part: &str| {
        let mut line = String::new();
        loop {
            line.clear();
            assert_ne!(stderr.read_line(&mut line).unwrap(), 0, "the scheduler ended");
            if line.contains(part) {
                return line;
            }
        }
    };
    let line = until("listening on http://");
    let address = line.strip_prefix("listening on http://").unwrap().split(' ').next().unwrap().to_owned();
    assert!(!get(&address, "/metrics").contains("rpo_seconds{"));

    sandbox.reconfigure("schedule = \"0 0 1 1 *\"", "schedule = \"0 0 31 2 *\"");
    signal(&child, "HUP");
    let refused = until("error: ");
    assert!(refused.contains("never due") && refused.contains("line: ") && refused.contains("column: "), "{refused}");
    until("the one before holds");

    sandbox.reconfigure("url = ", "url = \"elsewhere\" # ");
    sandbox.reconfigure("schedule = \"0 0 31 2 *\"", "schedule = \"* * * * * *\"\nrpo = \"3h\"");
    signal(&child, "HUP");
    assert!(until("error: ").contains("key: repository.url"));

    sandbox.reconfigure("url = \"elsewhere\" # ", "url = ");
    sandbox
        .configure("[[source]]\nname = \"more\"\nconnector = \"jsonl\"\npath = \"account\"\nschedule = \"@yearly\"\n");
    signal(&child, "HUP");
    assert_eq!(until("read anew"), "the configuration was read anew; new: more; another schedule: notes\n");
    let metrics = loop {
        let metrics = get(&address, "/metrics");
        if metrics.contains("last_run_status") && metrics.contains("status=\"complete\"") {
            break metrics;
        }
        std::thread::yield_now();
    };
    assert!(metrics.contains("saas_backup_rpo_seconds{source=\"notes\"} 10800\n"), "{metrics}");
    assert!(metrics.contains("saas_backup_next_run_timestamp_seconds{job=\"more\"}"), "{metrics}");

    signal(&child, "TERM");
    let mut rest = String::new();
    stderr.read_to_string(&mut rest).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0), "{rest}");
}

fn get(address: &str, path: &str) -> String {
    let mut connection = TcpStream::connect(address).unwrap();
    connection.write_all(format!("GET {path} HTTP/1.1\r\nhost: x\r\n\r\n").as_bytes()).unwrap();
    let mut answer = String::new();
    connection.read_to_string(&mut answer).unwrap();
    answer
}
