//! Digests and base64.

use std::fmt::Write as _;

use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use hmac::{Hmac, KeyInit as _, Mac as _};
use md5::Md5;
use sha1::Sha1;
use sha2::{Digest, Sha224, Sha256, Sha384, Sha512};

use super::failure::{Outcome, wrong};

const CODE: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_allow_trailing_bits(true)
        .with_decode_padding_mode(DecodePaddingMode::RequireCanonical),
);

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

pub(super) fn hash(text: &str, salt: &str, kind: &str) -> Outcome<String> {
    fn of<D: Digest>(text: &str, salt: &str) -> String {
        hex(&D::new().chain_update(text).chain_update(salt).finalize())
    }
    Ok(match kind {
        "md5" => of::<Md5>(text, salt),
        "sha1" => of::<Sha1>(text, salt),
        "sha224" => of::<Sha224>(text, salt),
        "sha256" => of::<Sha256>(text, salt),
        "sha384" => of::<Sha384>(text, salt),
        "sha512" => of::<Sha512>(text, salt),
        _ => return Err(wrong("a template wants a digest that is not known")),
    })
}

pub(super) fn hmac(text: &str, key: &str, kind: &str) -> Outcome<String> {
    if kind != "sha256" {
        return Err(wrong("a template wants a signature that is not known"));
    }
    let mut mac =
        Hmac::<Sha256>::new_from_slice(key.as_bytes()).map_err(|_| wrong("a template signs with a key of no use"))?;
    mac.update(text.as_bytes());
    Ok(hex(&mac.finalize().into_bytes()))
}

pub(super) fn encode(text: &str) -> String {
    CODE.encode(text)
}

pub(super) fn decode(text: &str) -> Outcome<String> {
    // Python passes over what is no sign of base64.
    let kept: String =
        text.chars().filter(|next| next.is_ascii_alphanumeric() || matches!(next, '+' | '/' | '=')).collect();
    let bytes = CODE.decode(kept).map_err(|_| wrong("a template reads what is no base64"))?;
    String::from_utf8(bytes).map_err(|_| wrong("a template reads base64 that is no text"))
}
