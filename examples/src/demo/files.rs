//! Files that are made here, byte for byte the same in every run.

use std::fmt::Write as _;

/// A picture of soft stripes, as PNG.
pub(super) fn png(width: u32, height: u32, hue: u8) -> Vec<u8> {
    let mut pixels = Vec::new();
    for y in 0..height {
        // Each row begins with the number of its filter: none.
        pixels.push(0);
        for x in 0..width {
            let wave = |shift: u32| ((x * 3 + y * 2 + shift) % 256) as u8;
            pixels.extend([hue, wave(0) / 2 + 64, wave(u32::from(hue)) / 2 + 96]);
        }
    }
    let mut header = Vec::new();
    header.extend(width.to_be_bytes());
    header.extend(height.to_be_bytes());
    // Eight bits a channel, three channels, the one way to compress, to filter and not to interlace.
    header.extend([8, 2, 0, 0, 0]);
    let mut out = b"\x89PNG\r\n\x1a\n".to_vec();
    for (name, data) in [(b"IHDR", header), (b"IDAT", zlib(&pixels)), (b"IEND", Vec::new())] {
        out.extend((data.len() as u32).to_be_bytes());
        let begin = out.len();
        out.extend(name);
        out.extend(data);
        let sum = crc32(out.get(begin..).unwrap_or_default());
        out.extend(sum.to_be_bytes());
    }
    out
}

/// A zlib stream of stored blocks: no compressor is needed to write one.
fn zlib(data: &[u8]) -> Vec<u8> {
    let mut out = vec![0x78, 0x01];
    let mut blocks = data.chunks(0xffff).peekable();
    while let Some(block) = blocks.next() {
        out.push(u8::from(blocks.peek().is_none()));
        let length = block.len() as u16;
        out.extend(length.to_le_bytes());
        out.extend((!length).to_le_bytes());
        out.extend(block);
    }
    let (mut a, mut b) = (1_u32, 0_u32);
    for byte in data {
        a = (a + u32::from(*byte)) % 65_521;
        b = (b + a) % 65_521;
    }
    out.extend(((b << 16) | a).to_be_bytes());
    out
}

fn crc32(data: &[u8]) -> u32 {
    let step = |sum: u32, byte: &u8| {
        (0..8).fold(sum ^ u32::from(*byte), |sum, _| if sum & 1 == 1 { (sum >> 1) ^ 0xedb8_8320 } else { sum >> 1 })
    };
    !data.iter().fold(u32::MAX, step)
}

/// A page of text, as PDF.
pub(super) fn pdf(title: &str, lines: &[&str]) -> Vec<u8> {
    let mut text = format!("BT /F1 20 Tf 72 760 Td ({title}) Tj /F1 12 Tf");
    for line in lines {
        let _ = write!(text, " 0 -24 Td ({line}) Tj");
    }
    text.push_str(" ET");
    let objects = [
        "<< /Type /Catalog /Pages 2 0 R >>".to_owned(),
        "<< /Type /Pages /Kids [3 0 R] /Count 1 >>".to_owned(),
        "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Contents 5 0 R \
         /Resources << /Font << /F1 4 0 R >> >> >>"
            .to_owned(),
        "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>".to_owned(),
        format!("<< /Length {} >>\nstream\n{text}\nendstream", text.len()),
    ];
    let (mut out, mut places) = ("%PDF-1.4\n".to_owned(), String::new());
    for (index, object) in objects.iter().enumerate() {
        let _ = writeln!(places, "{:010} 00000 n ", out.len());
        let _ = write!(out, "{} 0 obj\n{object}\nendobj\n", index + 1);
    }
    let (count, table) = (objects.len() + 1, out.len());
    let _ = write!(out, "xref\n0 {count}\n0000000000 65535 f \n{places}");
    let _ = write!(out, "trailer\n<< /Size {count} /Root 1 0 R >>\nstartxref\n{table}\n%%EOF\n");
    out.into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_are_those_of_the_standards() {
        assert_eq!(crc32(b"123456789"), 0xcbf4_3926);
        let zlib = zlib(b"Wikipedia");
        assert_eq!(zlib.last_chunk(), Some(&0x11e6_0398_u32.to_be_bytes()));
    }

    #[test]
    fn the_table_of_a_pdf_points_to_its_objects() {
        let text = String::from_utf8(pdf("Plan", &["one", "two"])).unwrap();
        let table: usize = text.lines().rev().nth(1).unwrap().parse().unwrap();
        let entries = text[table..].lines().skip(3).take(5);
        for (index, entry) in entries.enumerate() {
            let place: usize = entry[..10].parse().unwrap();
            assert!(text[place..].starts_with(&format!("{} 0 obj", index + 1)), "{entry}");
        }
    }
}
