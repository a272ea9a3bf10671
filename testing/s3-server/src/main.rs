//! A small S3 server on 127.0.0.1 for tests: signatures (version 4) are enforced, conditional creation is honoured.

mod server;

use std::env;
use std::io;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::process::ExitCode;

use tokio::net::TcpListener;

use crate::server::Server;

const HELP: &str = "\
usage: s3-server PORT FOLDER BUCKET…

Serves the buckets from FOLDER, in which each is a folder that is made if it is not there. The one pair of keys that
is accepted comes from the environment: S3_SERVER_ACCESS_KEY_ID and S3_SERVER_SECRET_ACCESS_KEY.
";

#[tokio::main]
async fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [port, folder, buckets @ ..] = arguments.as_slice() else {
        eprint!("{HELP}");
        return ExitCode::from(2);
    };
    let keys = (env::var("S3_SERVER_ACCESS_KEY_ID"), env::var("S3_SERVER_SECRET_ACCESS_KEY"));
    let (Ok(port), (Ok(id), Ok(secret)), [_, ..]) = (port.parse(), keys, buckets) else {
        eprint!("{HELP}");
        return ExitCode::from(2);
    };
    match run(port, PathBuf::from(folder), buckets, &id, &secret).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("s3-server: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(port: u16, folder: PathBuf, buckets: &[String], id: &str, secret: &str) -> io::Result<()> {
    let server = Server::open(&folder, buckets, id, secret)?;
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await?;
    eprintln!("s3-server: http://{}", listener.local_addr()?);
    server.serve(listener).await
}
