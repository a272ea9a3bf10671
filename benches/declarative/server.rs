use std::fmt::Write as _;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;

use benches::Outcome;

/// Records a page.
pub(crate) const PAGE: u64 = 100;
/// What stands in every record once, and nowhere else.
pub(crate) const MARK: &[u8] = b"\"person-";

const WORDS: [&str; 16] = [
    "anchor", "basket", "copper", "dagger", "ember", "falcon", "garden", "hammer", "island", "jacket", "kettle",
    "ladder", "magnet", "needle", "orchard", "pepper",
];

/// Pages of records that are rendered once, and a thread for each connection that answers with them.
///
/// `/N/items?page=K` gives page K of the first N records; an empty page comes after the last.
pub(crate) struct Server {
    port: u16,
    record_bytes: usize,
}

impl Server {
    /// Renders everything, then listens on a free port of 127.0.0.1 until the program ends.
    pub(crate) fn start(records: u64) -> Outcome<Self> {
        let record_bytes = record(records / 2).len();
        let pages: Arc<[Vec<u8>]> = (0..records.div_ceil(PAGE)).map(|page| answer(&body(page, records))).collect();
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let port = listener.local_addr()?.port();
        thread::spawn(move || {
            for connection in listener.incoming().flatten() {
                let pages = Arc::clone(&pages);
                // A client that hangs up ends its thread alone.
                thread::spawn(move || serve(connection, &pages).ok());
            }
        });
        Ok(Self { port, record_bytes })
    }

    pub(crate) fn url(&self, records: u64) -> String {
        format!("http://127.0.0.1:{}/{records}/", self.port)
    }

    pub(crate) fn record_bytes(&self) -> usize {
        self.record_bytes
    }
}

fn serve(mut connection: TcpStream, pages: &[Vec<u8>]) -> std::io::Result<()> {
    connection.set_nodelay(true)?;
    let empty = answer("{\"data\":[],\"has_more\":false}");
    let (mut held, mut chunk) = (Vec::new(), [0; 8192]);
    loop {
        let read = connection.read(&mut chunk)?;
        if read == 0 {
            return Ok(());
        }
        held.extend_from_slice(chunk.get(..read).unwrap_or_default());
        while let Some(end) = memchr::memmem::find(&held, b"\r\n\r\n") {
            let request = String::from_utf8_lossy(held.get(..end).unwrap_or_default()).into_owned();
            held.drain(..end + 4);
            let number = |text: Option<&str>| text.and_then(|text| text.parse::<usize>().ok()).unwrap_or_default();
            let target = request.split(' ').nth(1).unwrap_or_default();
            let (path, query) = target.split_once('?').unwrap_or((target, ""));
            let records = number(path.split('/').nth(1));
            let page = number(query.split('&').find_map(|pair| pair.strip_prefix("page=")));
            let within = page < records.div_ceil(PAGE as usize);
            let found = pages.get(page).filter(|_| within).unwrap_or(&empty);
            connection.write_all(found)?;
        }
    }
}

fn answer(body: &str) -> Vec<u8> {
    let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length:";
    format!("{head} {}\r\n\r\n{body}", body.len()).into_bytes()
}

fn body(page: u64, records: u64) -> String {
    let first = page * PAGE;
    let last = (first + PAGE).min(records);
    let items: Vec<String> = (first..last).map(record).collect();
    format!("{{\"data\":[{}],\"has_more\":{}}}", items.join(","), last < records)
}

/// A person with an address, tags and a note, as APIs have them.
fn record(index: u64) -> String {
    let word = |at: u64| WORDS[(at % 16) as usize];
    let mut note = String::new();
    for step in 1..26 {
        let _ = write!(note, "{}{}", if note.is_empty() { "" } else { " " }, word(index * step + index / 7));
    }
    let time = |hours: u64| {
        format!(
            "2026-{:02}-{:02}T{:02}:{:02}:{:02}.{:03}Z",
            1 + index % 9,
            1 + index % 28,
            hours % 24,
            index % 60,
            index / 60 % 60,
            index % 1000
        )
    };
    format!(
        "{{\"id\": {index}, \"code\": \"person-{:016x}\", \"name\": \"{} {}\", \"email\": \"{}.{index}@example.org\", \
         \"created_at\": \"{}\", \"updated_at\": \"{}\", \"active\": {}, \"score\": {}.{:03}, \"logins\": {}, \"phone\": null, \
         \"address\": {{\"street\": \"{} {} street\", \"city\": \"{}\", \"zip\": \"{:05}\", \"country\": \"DE\", \
         \"geo\": {{\"lat\": {}.{:06}, \"lon\": -{}.{:06}}}}}, \"tags\": [\"{}\", \"{}\", \"{}\"], \"note\": \"{note}\"}}",
        index.wrapping_mul(0x9e37_79b9_7f4a_7c15),
        word(index),
        word(index / 16),
        word(index),
        time(index / 5),
        time(index),
        !index.is_multiple_of(3),
        index % 100,
        index % 1000,
        index % 977,
        index % 999,
        word(index),
        word(index / 3),
        index % 99999,
        index % 90,
        index % 1_000_000,
        index % 180,
        index * 7 % 1_000_000,
        word(index),
        word(index / 5),
        word(index / 9),
    )
}
