use std::collections::BTreeMap;
use std::io::{BufRead, Read as _};

/// Longest head of a bundle, in bytes.
const MAX_HEAD: u64 = 64 * 1024 * 1024;

/// What a bundle says about itself before its objects begin.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Head {
    /// The object that each reference names.
    pub(super) refs: BTreeMap<String, String>,
    /// Objects that it does not hold and that a repository must have to take it.
    pub(super) needs: u64,
}

impl Head {
    /// Reads the head and the beginning of the objects (gitformat-bundle).
    ///
    /// # Errors
    ///
    /// What is wrong, in words; or that the file cannot be read.
    pub(super) fn read(from: impl BufRead) -> std::io::Result<Result<Self, &'static str>> {
        let mut from = from.take(MAX_HEAD);
        let mut line = Vec::new();
        from.read_until(b'\n', &mut line)?;
        if !matches!(line.as_slice(), b"# v2 git bundle\n" | b"# v3 git bundle\n") {
            return Ok(Err("it is no bundle"));
        }
        let mut head = Self::default();
        loop {
            line.clear();
            from.read_until(b'\n', &mut line)?;
            match line.split_last() {
                Some((b'\n', [])) => break,
                Some((b'\n', text)) => match head.line(text) {
                    Some(()) => {}
                    None => return Ok(Err("its head has a line that is none")),
                },
                _ => return Ok(Err("its head does not end")),
            }
        }
        let mut pack = [0; 8];
        if from.read_exact(&mut pack).is_err() || !matches!(pack, [b'P', b'A', b'C', b'K', 0, 0, 0, 2 | 3]) {
            return Ok(Err("it has no objects"));
        }
        Ok(Ok(head))
    }

    fn line(&mut self, line: &[u8]) -> Option<()> {
        let text = String::from_utf8_lossy(line);
        if text.starts_with('@') {
            return Some(());
        }
        if let Some(needed) = text.strip_prefix('-') {
            self.needs += 1;
            return is_object(needed.split(' ').next()?).then_some(());
        }
        let (object, name) = text.split_once(' ').filter(|(object, name)| is_object(object) && !name.is_empty())?;
        self.refs.insert(name.to_owned(), object.to_owned());
        Some(())
    }
}

/// Whether a text is the name of an object, by SHA-1 or SHA-256.
fn is_object(text: &str) -> bool {
    matches!(text.len(), 40 | 64) && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}
