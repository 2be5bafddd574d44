//! How keys are written: PEM blocks, and lines of base64. Errors name the place and never repeat what was
//! read.

use base64::Engine;
use base64::alphabet;
use base64::engine::general_purpose::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use zeroize::Zeroizing;

use crate::VaultError;

/// Tag of a PKCS#8 private key.
pub(crate) const PRIVATE: &str = "PRIVATE KEY";
/// Tag of a SubjectPublicKeyInfo.
pub(crate) const PUBLIC: &str = "PUBLIC KEY";

/// Base64 as people paste it: with padding or without.
const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

const PEM_LINE: usize = 64;

/// One PEM block.
pub(crate) fn pem(tag: &str, der: &[u8]) -> Zeroizing<String> {
    let body = Zeroizing::new(STANDARD.encode(der));
    let mut out =
        Zeroizing::new(String::with_capacity(body.len() + body.len() / PEM_LINE + 2 * tag.len() + 64));
    out.push_str("-----BEGIN ");
    out.push_str(tag);
    out.push_str("-----\n");
    let mut rest = body.as_str();
    while !rest.is_empty() {
        let (line, after) = rest.split_at(rest.len().min(PEM_LINE));
        out.push_str(line);
        out.push('\n');
        rest = after;
    }
    out.push_str("-----END ");
    out.push_str(tag);
    out.push_str("-----\n");
    out
}

/// Every PEM block of `text`, at least one, all with this tag.
pub(crate) fn pem_blocks(
    text: &str,
    tag: &'static str,
    place: &str,
) -> Result<Vec<Zeroizing<Vec<u8>>>, VaultError> {
    // Files with several lines often end up in one variable with `\n` written out.
    let text = Zeroizing::new(if text.contains("\\n") { text.replace("\\n", "\n") } else { text.to_owned() });
    let begun = text.matches("-----BEGIN ").count();
    if begun == 0 {
        return Err(VaultError::format(
            place,
            format!("there is no PEM block in it; it should start with -----BEGIN {tag}-----"),
        ));
    }
    if text.matches("-----END ").count() < begun {
        return Err(VaultError::format(
            place,
            "a PEM block in it is cut off: its -----END line is missing; bring the whole file back",
        ));
    }
    let blocks: Vec<_> = pem::parse_many(text.as_bytes())
        .map_err(|_| damaged(place))?
        .into_iter()
        .map(|block| (block.tag().to_owned(), Zeroizing::new(block.into_contents())))
        .collect();
    if blocks.len() != begun {
        return Err(damaged(place));
    }
    blocks
        .into_iter()
        .map(|(found, der)| if found == tag { Ok(der) } else { Err(wrong_tag(&found, tag, place)) })
        .collect()
}

fn damaged(place: &str) -> VaultError {
    VaultError::format(place, "a PEM block in it is damaged; bring the file back as it was")
}

fn wrong_tag(found: &str, wanted: &str, place: &str) -> VaultError {
    let problem = match found {
        "ENCRYPTED PRIVATE KEY" => "a key in it is locked with a password; write it without one, with \
                                    `openssl pkcs8 -topk8 -nocrypt`"
            .to_owned(),
        "RSA PRIVATE KEY" if wanted == PRIVATE => {
            "a key in it is in the older PKCS#1 form; convert it with `openssl pkcs8 -topk8 -nocrypt`".to_owned()
        }
        found if wanted == PUBLIC && found.ends_with(PRIVATE) => {
            "it holds a private key where only public ones belong; take it out, for who seals must not be able \
             to open"
                .to_owned()
        }
        PUBLIC => "it holds a public key where a private one is needed".to_owned(),
        _ => format!("it holds a PEM block of another kind; it should be -----BEGIN {wanted}-----"),
    };
    VaultError::format(place, problem)
}

/// One key of 32 bytes as a line.
pub(crate) fn base64_line(key: &[u8; 32]) -> Zeroizing<String> {
    Zeroizing::new(STANDARD.encode(key))
}

/// Every key of 32 bytes in `text`: one a line, or separated by commas; `#` starts a comment line.
pub(crate) fn key_lines(text: &str, place: &str) -> Result<Vec<Zeroizing<[u8; 32]>>, VaultError> {
    let text = Zeroizing::new(text.replace("\\n", "\n"));
    let mut keys = Vec::new();
    for (index, line) in text.lines().enumerate() {
        if line.trim_start().starts_with('#') {
            continue;
        }
        for word in line.split(',').map(str::trim).filter(|word| !word.is_empty()) {
            let place = format!("{place}, line {}", index + 1);
            keys.push(thirty_two_bytes(word).map_err(|problem| VaultError::format(&place, problem))?);
        }
    }
    if keys.is_empty() {
        return Err(VaultError::format(
            place,
            "there is no key in it; write one as base64 of 32 random bytes, for example from `openssl rand \
             -base64 32`",
        ));
    }
    Ok(keys)
}

/// Base64 of 32 bytes, or what is wrong with it.
pub(crate) fn thirty_two_bytes(word: &str) -> Result<Zeroizing<[u8; 32]>, String> {
    let bytes = Zeroizing::new(LENIENT.decode(word).map_err(|_| "it is not base64".to_owned())?);
    let mut key = Zeroizing::new([0; 32]);
    if bytes.len() != key.len() {
        return Err(format!("it is base64 of {} bytes; it should be of 32", bytes.len()));
    }
    key.copy_from_slice(&bytes);
    Ok(key)
}
