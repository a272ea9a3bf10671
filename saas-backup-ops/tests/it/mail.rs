//! Alerts by mail: what a server hears, and servers that misbehave. Beside it, `live_smtp` speaks to one that others wrote.
#![expect(clippy::unwrap_used, reason = "tests fail loudly")]

use std::sync::{Arc, Mutex};

use chrono::{DateTime, TimeDelta, Utc};
use saas_backup_core::{ErrorKind, ManualClock};
use saas_backup_ops::alert::{
    Alert, Alerts, Condition, Delivery, Mail, MailEncryption, MailServer, Route, ServiceOptions,
};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};

const RECEIVER: &str = "receiver-of-alerts@example.com";

/// What a server answers to a command, and how often it was given before; `None` for what a good server does.
type Answers = fn(&str, usize) -> Option<&'static str>;

/// A server that speaks in the clear, and notes what it hears.
struct Server {
    port: u16,
    heard: Arc<Mutex<Vec<String>>>,
}

impl Server {
    async fn new(answers: Answers) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let (port, heard) = (listener.local_addr().unwrap().port(), Arc::new(Mutex::new(Vec::new())));
        let noted = Arc::clone(&heard);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                // Whoever hangs up in between has heard enough.
                drop(converse(stream, answers, &noted).await);
            }
        });
        Self { port, heard }
    }

    fn heard(&self) -> Vec<String> {
        self.heard.lock().unwrap().clone()
    }

    /// The mails, as they came.
    fn mails(&self) -> Vec<String> {
        self.heard().into_iter().filter(|heard| heard.contains("\r\n")).collect()
    }

    fn route(&self) -> Mail {
        let server = MailServer::new("127.0.0.1").with_port(self.port).with_encryption(MailEncryption::None);
        Mail::new("mail", server, "Backups <backup@example.org>", &[RECEIVER], options()).unwrap()
    }
}

async fn converse(mut stream: TcpStream, answers: Answers, noted: &Mutex<Vec<String>>) -> std::io::Result<()> {
    let (reader, mut writer) = stream.split();
    let mut lines = BufReader::new(reader);
    let before = |verb: &str| noted.lock().unwrap().iter().filter(|heard| heard.starts_with(verb)).count();
    let greeting = answers("", before("EHLO")).unwrap_or("220 ready");
    writer.write_all(format!("{greeting}\r\n").as_bytes()).await?;
    loop {
        let mut line = String::new();
        if lines.read_line(&mut line).await? == 0 {
            return Ok(());
        }
        let command = line.trim_end().to_owned();
        let verb = command.split([' ', ':']).next().unwrap_or_default().to_owned();
        let answer = answers(&verb, before(&verb));
        let good = match verb.as_str() {
            "DATA" => "354 go on",
            "QUIT" => "221 bye",
            _ => "250 fine",
        };
        noted.lock().unwrap().push(command);
        writer.write_all(format!("{}\r\n", answer.unwrap_or(good)).as_bytes()).await?;
        if verb == "DATA" && answer.is_none() {
            let mut mail = String::new();
            while !mail.ends_with("\r\n.\r\n") {
                if lines.read_line(&mut mail).await? == 0 {
                    return Ok(());
                }
            }
            noted.lock().unwrap().push(mail);
            let taken = answers("taken", 0);
            writer.write_all(format!("{}\r\n", taken.unwrap_or("250 taken")).as_bytes()).await?;
            if taken.is_some() {
                return Ok(());
            }
        }
    }
}

fn now() -> DateTime<Utc> {
    "2026-11-21T10:00:00Z".parse().unwrap()
}

fn options() -> ServiceOptions {
    let clock = Arc::new(ManualClock::new(now() + TimeDelta::minutes(7)));
    ServiceOptions::default().with_private_addresses(true).with_clock(clock)
}

fn late() -> Alert {
    Alert::new("blog/late", Condition::Late, "blog: the newest complete copy\r\nBcc: x@example.net is 3h old", now())
        .with_source("blog")
        .with_advice("Run `saas-backup backup blog`.")
        .with_detail("objective", "1h")
}

async fn begin(route: Box<dyn Route>) -> Delivery {
    let folder = tempfile::tempdir().unwrap();
    let mut alerts = Alerts::open(folder.path(), vec![route]).unwrap();
    alerts.tell(vec![late()], now()).await.unwrap().remove(0)
}

fn header<'a>(mail: &'a str, name: &str) -> &'a str {
    let head = mail.split_once("\r\n\r\n").unwrap().0;
    let found = head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
    found.unwrap_or_else(|| panic!("{name} is not in {head}"))
}

#[tokio::test]
async fn the_mails_of_one_alert_are_one_thread_in_plain_text() {
    let server = Server::new(|_, _| None).await;
    let folder = tempfile::tempdir().unwrap();
    let mut alerts = Alerts::open(folder.path(), vec![Box::new(server.route())]).unwrap();
    alerts.tell(vec![late()], now()).await.unwrap();
    alerts.tell(Vec::new(), now() + TimeDelta::hours(1)).await.unwrap();
    let mails = server.mails();
    let [began, over] = mails.as_slice() else { panic!("{mails:?}") };
    assert_eq!(header(began, "From"), "Backups <backup@example.org>");
    assert_eq!((header(began, "To"), header(began, "Auto-Submitted")), (RECEIVER, "auto-generated"));
    assert_eq!(header(began, "Date"), "Sat, 21 Nov 2026 10:07:00 +0000");
    assert_eq!(header(began, "Content-Type"), "text/plain; charset=utf-8");
    assert!(header(began, "Subject").starts_with("[saas-backup] blog: the newest"), "{began}");
    assert!(header(over, "Subject").starts_with("[saas-backup] resolved: blog:"), "{over}");
    let head = began.split_once("\r\n\r\n").unwrap().0;
    assert!(!head.contains("\r\nBcc") && !head.contains("=?utf-8?"), "a line became a header, or unreadable: {began}");
    assert!(began.contains("Run `saas-backup backup blog`.") && began.contains("\r\nobjective: 1h\r\n"), "{began}");
    assert!(header(began, "Message-ID").ends_with("@example.org>"));
    assert_ne!(header(began, "Message-ID"), header(over, "Message-ID"));
    for name in ["References", "In-Reply-To"] {
        assert_eq!(header(over, name), header(began, "Message-ID"), "{name}");
    }
    assert!(over.contains("It is over since 2026-11-21 11:00:00 UTC."), "{over}");
}

#[tokio::test]
async fn a_mail_that_was_put_off_comes_again_as_the_same_mail() {
    let server = Server::new(|verb, before| (verb == "RCPT" && before == 0).then_some("451 greylisted")).await;
    let folder = tempfile::tempdir().unwrap();
    let mut alerts = Alerts::open(folder.path(), vec![Box::new(server.route())]).unwrap();
    let first = alerts.tell(vec![late()], now()).await.unwrap().remove(0);
    assert_eq!(first.error.as_deref(), Some("the mail server does not take the mail (status: 451)"));
    let again = alerts.tell(vec![late()], now() + TimeDelta::minutes(2)).await.unwrap();
    let again = again.iter().find(|delivery| delivery.key == "blog/late").unwrap();
    assert_eq!((again.tries, again.error.as_deref()), (2, None));
    let other = Server::new(|_, _| None).await;
    begin(Box::new(other.route())).await;
    let ids = |mails: &[String]| header(&mails[0], "Message-ID").to_owned();
    assert_eq!(ids(&server.mails()), ids(&other.mails()), "whoever sends it, and however often");
}

#[tokio::test]
async fn what_a_server_says_is_not_repeated() {
    let refuses: [(Answers, &str); 4] = [
        (|verb, _| (verb == "RCPT").then_some("550 no receiver-of-alerts@example.com"), "(status: 550)"),
        (|verb, _| (verb == "EHLO").then_some("554 go away, receiver-of-alerts"), "cannot be reached (status: 554)"),
        (|verb, _| (verb == "MAIL").then_some("nonsense of receiver-of-alerts"), "does not take the mail"),
        (|verb, _| verb.is_empty().then_some("421 receiver-of-alerts is busy"), "cannot be reached (status: 421)"),
    ];
    for (answers, expected) in refuses {
        let server = Server::new(answers).await;
        let error = begin(Box::new(server.route())).await.error.unwrap();
        assert!(error.contains(expected) && !error.contains("receiver-of-alerts"), "{error}");
        assert!(server.mails().is_empty(), "{error}");
    }
}

#[tokio::test]
async fn a_mail_that_was_taken_is_sent_however_the_server_says_goodbye() {
    let server = Server::new(|verb, _| (verb == "taken").then_some("250 taken, and gone")).await;
    assert_eq!(begin(Box::new(server.route())).await.error, None);
    assert_eq!(server.mails().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_server_that_hangs_is_given_up() {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let server = Server { port: listener.local_addr().unwrap().port(), heard: Arc::default() };
    let error = begin(Box::new(server.route())).await.error.unwrap();
    assert!(error.starts_with("the mail server"), "{error}");
}

#[tokio::test]
async fn a_server_that_does_not_encrypt_gets_nothing() {
    let server = Server::new(|_, _| None).await;
    let secret = MailServer::new("127.0.0.1").with_port(server.port).with_login("me", "hunter-and-gatherer".into());
    let route = Mail::new("mail", secret, "backup@example.org", &[RECEIVER], options()).unwrap();
    assert!(!format!("{route:?}").contains("hunter-and-gatherer"));
    let error = begin(Box::new(route)).await.error.unwrap();
    assert_eq!(error, "the mail server does not encrypt");
    let heard = server.heard();
    assert!(heard.iter().all(|heard| heard.starts_with("EHLO") || heard.starts_with("QUIT")), "{heard:?}");
}

#[tokio::test]
async fn what_somebody_adds_before_encryption_begins_is_no_answer() {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let (reader, mut writer) = stream.split();
        let mut lines = BufReader::new(reader);
        for said in ["220 ready\r\n", "250-here\r\n250 STARTTLS\r\n", "220 go on\r\n250 an answer too many\r\n"] {
            writer.write_all(said.as_bytes()).await.unwrap();
            lines.read_line(&mut String::new()).await.ok();
        }
        // Who took it for an answer waits here for the beginning of TLS.
        std::future::pending::<()>().await;
    });
    let server = MailServer::new("127.0.0.1").with_port(port);
    let route = Mail::new("mail", server, "backup@example.org", &[RECEIVER], options()).unwrap();
    let error = begin(Box::new(route)).await.error.unwrap();
    assert!(error.starts_with("the mail server does not encrypt"), "{error}");
}

#[tokio::test]
async fn servers_and_addresses_that_nobody_allowed_are_refused() {
    let mail = |server: MailServer, from: &str, to: &[&str], options: ServiceOptions| {
        Mail::new("mail", server, from, to, options).map(drop).unwrap_err()
    };
    let good = || MailServer::new("mail.example.com");
    for (error, expected) in [
        (mail(good(), "backup", &[RECEIVER], options()), "no address of mail (is: backup)"),
        (mail(good(), "backup@example.org", &["to\r\nme@x.org"], options()), "no address of mail"),
        (mail(good(), "backup@example.org", &[], options()), "nobody is named"),
        (mail(good().with_ca_file("/nowhere.pem"), "a@example.org", &[RECEIVER], options()), "certificates to trust"),
        (
            mail(good().with_encryption(MailEncryption::None), "a@example.org", &[RECEIVER], ServiceOptions::default()),
            "without encryption",
        ),
    ] {
        assert_eq!(error.kind(), ErrorKind::Configuration);
        assert!(error.to_string().contains(expected), "{error}");
    }
    for (server, expected) in [
        (MailServer::new("127.0.0.1"), "the address is private"),
        (MailServer::new("169.254.169.254"), "never allowed"),
    ] {
        let route = Mail::new("mail", server, "a@example.org", &[RECEIVER], ServiceOptions::default()).unwrap();
        let error = begin(Box::new(route)).await.error.unwrap();
        assert!(error.contains(expected), "{error}");
    }
    let elsewhere = MailServer::new("10.1.2.3").with_encryption(MailEncryption::None);
    let route = Mail::new("mail", elsewhere, "a@example.org", &[RECEIVER], options()).unwrap();
    let error = begin(Box::new(route)).await.error.unwrap();
    assert!(error.contains("on this machine alone"), "{error}");
}

/// `aiosmtpd`, which encrypts, wants a login, and keeps mails in a folder.
mod live_smtp {
    use super::*;

    fn variable(name: &str) -> String {
        std::env::var(format!("SAAS_BACKUP_TEST_SMTP_{name}")).unwrap()
    }

    /// The mails for one receiver.
    fn kept(receiver: &str) -> Vec<String> {
        let folder = std::path::Path::new(&variable("FOLDER")).join("new");
        let mails =
            std::fs::read_dir(folder).unwrap().map(|entry| std::fs::read_to_string(entry.unwrap().path()).unwrap());
        mails.filter(|mail| mail.contains(receiver)).collect()
    }

    fn server(encryption: MailEncryption, port: &str) -> MailServer {
        MailServer::new("localhost")
            .with_port(variable(port).parse().unwrap())
            .with_encryption(encryption)
            .with_login(variable("USERNAME"), variable("PASSWORD").into())
            .with_ca_file(variable("CA_FILE"))
    }

    async fn begins(server: MailServer, receiver: &str) -> Option<String> {
        begin(Box::new(Mail::new("mail", server, "backup@example.org", &[receiver], options()).unwrap())).await.error
    }

    #[tokio::test]
    #[ignore = "needs smtp: ./test runs it"]
    async fn a_mail_arrives_by_both_kinds_of_encryption() {
        for (encryption, port) in [(MailEncryption::StartTls, "PORT"), (MailEncryption::Tls, "TLS_PORT")] {
            let receiver = format!("{}-{}@example.com", port.to_lowercase(), std::process::id());
            assert_eq!(begins(server(encryption, port), &receiver).await, None, "{encryption:?}");
            let mails = kept(&receiver);
            assert_eq!(mails.len(), 1, "{encryption:?}");
            assert!(mails[0].contains("Subject: [saas-backup] blog: the newest complete copy"), "{}", mails[0]);
            assert!(mails[0].contains("\nobjective: 1h\n"), "{}", mails[0]);
        }
    }

    #[tokio::test]
    #[ignore = "needs smtp: ./test runs it"]
    async fn a_wrong_password_and_a_certificate_that_nobody_vouches_for_are_named() {
        let receiver = format!("nobody-{}@example.com", std::process::id());
        let wrong = server(MailEncryption::StartTls, "PORT").with_login("me", "wrong-password".into());
        let error = begins(wrong, &receiver).await.unwrap();
        assert_eq!(error, "the mail server does not accept the login (status: 535)");
        let mut unknown = server(MailEncryption::Tls, "TLS_PORT");
        unknown.ca_file = None;
        let error = begins(unknown, &receiver).await.unwrap();
        assert!(error.starts_with("the mail server cannot be reached"), "{error}");
        let mut nobody = server(MailEncryption::StartTls, "PORT");
        nobody.login = None;
        let error = begins(nobody, &receiver).await.unwrap();
        assert_eq!(error, "the mail server does not take the mail (status: 530)");
        assert!(kept(&receiver).is_empty());
    }
}
