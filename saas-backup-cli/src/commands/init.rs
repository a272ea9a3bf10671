use saas_backup::Initialised;
use saas_backup::core::Result;
use secrecy::ExposeSecret as _;
use serde_json::json;
use std::fmt::Write as _;

use super::Session;
use crate::args::{InitArgs, KeygenArgs};
use crate::exit::Outcome;

pub(super) fn keygen(session: &Session, args: &KeygenArgs) -> Result<Outcome> {
    let output = session.output;
    let Some(path) = &args.out else {
        let key = saas_backup::keygen()?;
        let object = json!({ "recipient": key.recipient, "identity": key.file.expose_secret() });
        output.result(&object, |_| key.file.expose_secret().to_owned())?;
        output.note(format_args!("recipient: {}", key.recipient));
        return Ok(Outcome::Done);
    };
    let key = saas_backup::keygen_to(path)?;
    let object = json!({ "recipient": key.recipient, "file": path });
    output.result(&object, |_| key.recipient.clone())?;
    output.note(format_args!("the identity is in {}; keep a copy where this machine is not", path.display()));
    Ok(Outcome::Done)
}

pub(super) async fn init(session: &Session, args: &InitArgs) -> Result<Outcome> {
    let path = session.config_path();
    let mut written = Vec::new();
    if !path.exists() {
        written = saas_backup::write_starter_config(path, &args.url)?;
        for file in &written {
            session.output.note(format_args!("wrote {}", file.display()));
        }
    }
    let mut made = session.project()?.init().await?;
    written.append(&mut made.written);
    made.written = written;
    session.output.result(&made, |made| describe(session, made))?;
    Ok(Outcome::Done)
}

fn describe(session: &Session, made: &Initialised) -> String {
    let mut text = "the repository is made\n".to_owned();
    if !made.encrypted {
        text.push_str("it is NOT encrypted: whoever reads the storage reads the data\n");
    }
    if let Some(identity) = &made.identity {
        let _ = writeln!(
            text,
            "\nKEEP SAFE: {}\n  It is the only key that reads the copies. Put it on paper or into a safe, away from this machine\n  and from the storage. Whoever loses it loses the backup; nobody can help.",
            identity.display()
        );
    }
    if let Some(agent) = &made.agent {
        let _ = writeln!(
            text,
            "Keep on this machine: {}\n  It writes backups and cannot read them. If it is lost, make another one.",
            agent.display()
        );
    }
    if !made.add.is_empty() {
        let _ = writeln!(text, "\nAdd to [repository] in {}:", session.config_path().display());
        for line in &made.add {
            let _ = writeln!(text, "  {line}");
        }
    }
    text.push_str("\nNext: add a [[source]], then `saas-backup check` and `saas-backup backup`\n");
    text
}
