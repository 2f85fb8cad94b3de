//! Frames: what stands around every blob, so that wrong bytes are an error and never an answer.
//!
//! A frame is a header of 24 bytes and a body, integers little-endian:
//!
//! | bytes | meaning |
//! |---|---|
//! | 0..2 | `Tr` |
//! | 2 | layout version, 1 |
//! | 3 | kind: what the body is, chosen by the caller |
//! | 4 | serializer of the body |
//! | 5 | compressor: 0 none, 1 lz4, 2 zstd |
//! | 6 | encryptor: 0 none, 2 XChaCha20-Poly1305 |
//! | 7 | flags: 0 |
//! | 8..12 | bytes of the body as stored |
//! | 12..16 | bytes of the body before it was compressed |
//! | 16..24 | xxh3-64 of the body as stored, seeded by xxh3-64 of bytes 0..16, seeded by the place |
//!
//! The place is the blob's key and the offset in it, so a frame that was copied or moved elsewhere does not verify.
//! A frame stands alone: many can lie in one blob, each read by range.
//!
//! The body is serialized, then compressed, then encrypted ([`Encoding`](super::Encoding)); the checksum is over the bytes
//! as they are stored, so damage can be told from a wrong key, and found without one.

use std::borrow::Cow;

use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::error::{Error, ErrorKind, Result};

/// Bytes before the body.
pub const HEADER: usize = 24;
const MAGIC: [u8; 2] = *b"Tr";
const VERSION: u8 = 1;
/// Where the checksum begins; what stands before it is under the checksum.
pub(super) const CHECKED: usize = 16;

/// Kinds of bodies. Numbers are for good; the log of transactions has 1, the layers above the store have up to 15.
pub mod kind {
    /// The metadata of a value under a key of the user's.
    pub const METADATA: u8 = 16;
    /// A value under a key of the user's.
    pub const VALUE: u8 = 17;
    /// An element of an append log.
    pub const ELEMENT: u8 = 18;
    /// What the key of the store is wrapped in; see [`Encoding`](crate::store::Encoding).
    pub const ENCRYPTION: u8 = 19;
    /// A part of a large binary value.
    pub const PART: u8 = 20;
}

/// How bodies are written. Numbers are for good.
pub mod serializer {
    /// A form of EDN as text.
    pub const EDN: u8 = 0;
    /// A form of EDN in the binary notation.
    pub const BINARY: u8 = 1;
    /// The parts of a large binary value: a form of EDN as text.
    pub const PARTS: u8 = 2;
    /// Bytes of the user's, as they are.
    pub const RAW: u8 = 255;
}

/// What a frame says of its body, beside its length.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Ids {
    pub kind: u8,
    pub serializer: u8,
    pub compressor: u8,
    pub encryptor: u8,
}

/// A body with what it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame<'a> {
    /// What the body is, as given when it was sealed.
    pub kind: u8,
    /// How the body was serialized, as given when it was sealed.
    pub serializer: u8,
    /// The bytes.
    pub body: Cow<'a, [u8]>,
}

/// A frame whose checksum was verified: its body is as it was stored, which may be compressed and encrypted.
#[derive(Debug, Clone, Copy)]
pub struct Sealed<'a> {
    pub(super) ids: Ids,
    /// The header before the checksum, which what is encrypted is bound to.
    #[cfg(feature = "encryption")]
    pub(super) header: &'a [u8],
    /// Bytes of the body before it was compressed.
    pub(super) len: u32,
    pub(super) stored: &'a [u8],
    pub(super) key: &'a str,
    pub(super) offset: u64,
}

/// The hash of a place, mixed into the checksum.
fn place(key: &str, offset: u64) -> u64 {
    xxh3_64_with_seed(key.as_bytes(), offset)
}

fn checksum(header: &[u8], body: &[u8], key: &str, offset: u64) -> u64 {
    xxh3_64_with_seed(body, xxh3_64_with_seed(header, place(key, offset)))
}

pub(super) fn bad(code: &'static str, key: &str, offset: u64, what: &str) -> Error {
    Error::new(ErrorKind::Corrupt, code, format!("the blob {key:?} at offset {offset} {what}"))
}

/// `N` bytes of `bytes` from `at`; `None` past the end.
fn field<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..at.checked_add(N)?)?.try_into().ok()
}

/// The header before the checksum, for a body of so many bytes as stored and before it was compressed.
pub(super) fn header(ids: Ids, stored: u32, len: u32) -> [u8; CHECKED] {
    let mut header = [0; CHECKED];
    header[..2].copy_from_slice(&MAGIC);
    header[2..7].copy_from_slice(&[VERSION, ids.kind, ids.serializer, ids.compressor, ids.encryptor]);
    header[8..12].copy_from_slice(&stored.to_le_bytes());
    header[12..].copy_from_slice(&len.to_le_bytes());
    header
}

/// Appends a frame of a header and the body that it was made for to `out`.
pub(super) fn write(out: &mut Vec<u8>, header: &[u8; CHECKED], stored: &[u8], key: &str, offset: u64) {
    out.reserve(HEADER + stored.len());
    out.extend_from_slice(header);
    out.extend_from_slice(&checksum(header, stored, key, offset).to_le_bytes());
    out.extend_from_slice(stored);
}

/// Gives the frame that `bytes` hold, which may say anything, the checksum that it should have at its place: for tests of
/// what is wrong under a right checksum.
#[cfg(any(test, feature = "testing"))]
pub fn reseal(bytes: &mut [u8], key: &str, offset: u64) {
    if let Some((header, rest)) = bytes.split_at_mut_checked(CHECKED)
        && let Some((sum, body)) = rest.split_first_chunk_mut::<8>()
    {
        *sum = checksum(header, body, key, offset).to_le_bytes();
    }
}

impl<'a> Sealed<'a> {
    /// Verifies the frame that `bytes` begin with, which were read at `offset` of the blob `key`, and gives it with the
    /// bytes after it.
    ///
    /// # Errors
    /// `store/corrupt` if a single bit differs from what was sealed for this place, `store/unsupported` for a layout that
    /// this version does not know.
    pub fn verify(bytes: &'a [u8], key: &'a str, offset: u64) -> Result<(Sealed<'a>, &'a [u8])> {
        let total = Sealed::total_len(bytes, key, offset)?;
        let cut = |from: usize, to: u64| bytes.get(from..usize::try_from(to).ok()?);
        let (Some(header), Some(sum), Some(stored)) = (bytes.get(..CHECKED), field(bytes, CHECKED), cut(HEADER, total))
        else {
            let what = format!("is cut short: {} bytes where its frame has {total}", bytes.len());
            return Err(bad("store/corrupt", key, offset, &what));
        };
        if u64::from_le_bytes(sum) != checksum(header, stored, key, offset) {
            return Err(bad("store/corrupt", key, offset, "does not match its checksum"));
        }
        let (&[_, _, _, kind, serializer, compressor, encryptor, flags, ..], Some(len)) = (header, field(header, 12))
        else {
            return Err(bad("store/corrupt", key, offset, "has no header"));
        };
        if flags != 0 {
            let what = format!("was written with flags {flags}, which this version does not have");
            return Err(bad("store/unsupported", key, offset, &what));
        }
        let ids = Ids { kind, serializer, compressor, encryptor };
        let sealed = Sealed {
            ids,
            #[cfg(feature = "encryption")]
            header,
            len: u32::from_le_bytes(len),
            stored,
            key,
            offset,
        };
        Ok((sealed, bytes.get(HEADER + stored.len()..).unwrap_or_default()))
    }

    /// Bytes of the whole frame whose header `bytes` begin with: how much to read of a blob. Not verified, only the
    /// frame itself is.
    ///
    /// # Errors
    /// `store/corrupt` if there is no header, `store/unsupported` for a layout that this version does not know.
    pub fn total_len(bytes: &[u8], key: &str, offset: u64) -> Result<u64> {
        let (Some(header), Some(len)) = (bytes.get(..HEADER), field(bytes, 8)) else {
            let what = format!("is cut short: {} bytes where a frame's header has {HEADER}", bytes.len());
            return Err(bad("store/corrupt", key, offset, &what));
        };
        if !header.starts_with(&MAGIC) {
            return Err(bad("store/corrupt", key, offset, "does not begin with a frame"));
        }
        match header.get(2) {
            Some(&VERSION) => Ok(HEADER as u64 + u64::from(u32::from_le_bytes(len))),
            other => {
                let what = format!("has layout version {}; this version reads {VERSION}", other.unwrap_or(&0));
                Err(bad("store/unsupported", key, offset, &what))
            }
        }
    }

    /// What the body is, as given when it was sealed.
    pub fn kind(&self) -> u8 {
        self.ids.kind
    }

    /// Bytes of the whole frame as stored.
    pub fn frame_len(&self) -> usize {
        HEADER + self.stored.len()
    }

    /// An error that names the place.
    pub(super) fn bad(&self, code: &'static str, what: &str) -> Error {
        bad(code, self.key, self.offset, what)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Encoding;
    use proptest::prelude::{any, prop_assert, prop_assert_eq, proptest};

    proptest! {
        #[test]
        fn what_was_encoded_is_decoded(kind: u8, serializer: u8, body: Vec<u8>, offset: u64) {
            let bytes = Encoding::PLAIN.seal(kind, serializer, &body, "k/1", offset).unwrap();
            prop_assert_eq!(Encoding::PLAIN.open(&bytes, "k/1", offset).unwrap(), Frame { kind, serializer, body: body.into() });
            prop_assert!(Encoding::PLAIN.open(&bytes, "k/1", offset.wrapping_add(1)).is_err());
            prop_assert!(Encoding::PLAIN.open(&bytes, "k/2", offset).is_err());
        }

        #[test]
        fn any_bytes_are_an_error_or_a_frame(bytes: Vec<u8>, magic: bool) {
            let mut bytes = bytes;
            if magic {
                bytes.splice(0..0, [b'T', b'r', VERSION]);
            }
            prop_assert!(Encoding::PLAIN.open_first(&bytes, "k", 0).is_err());
        }

        #[test]
        fn a_cut_or_longer_frame_is_an_error(body: Vec<u8>, cut in any::<proptest::sample::Index>(), tail in 1usize..9) {
            let bytes = Encoding::PLAIN.seal(1, 0, &body, "k", 0).unwrap();
            prop_assert!(Encoding::PLAIN.open(&bytes[..cut.index(bytes.len())], "k", 0).is_err());
            let mut longer = bytes;
            longer.extend(vec![0; tail]);
            prop_assert!(Encoding::PLAIN.open(&longer, "k", 0).is_err());
        }
    }

    #[test]
    fn every_flip_of_a_byte_is_seen() {
        for len in [0, 1, 7, 16, 100, 300, 1000] {
            let body: Vec<u8> = (0..len).map(|i| (i * 31) as u8).collect();
            let whole = Encoding::PLAIN.seal(3, 1, &body, "pack/0", 4096).unwrap();
            for at in 0..whole.len() {
                for pattern in [1, 0x80, 0xff, 0x10] {
                    let mut bytes = whole.clone();
                    bytes[at] ^= pattern;
                    let error = Encoding::PLAIN.open(&bytes, "pack/0", 4096).expect_err("a flipped byte");
                    assert_eq!(error.kind(), ErrorKind::Corrupt);
                    assert!(error.message().contains("\"pack/0\" at offset 4096"), "{error}");
                }
            }
        }
    }

    #[test]
    fn frames_lie_one_after_the_other() {
        let mut pack = Vec::new();
        for i in 0..5u8 {
            let offset = pack.len() as u64;
            Encoding::PLAIN.seal_into(&mut pack, i, 0, &vec![i; i as usize * 10], "pack", offset).unwrap();
        }
        let mut rest = &pack[..];
        for i in 0..5u8 {
            let offset = (pack.len() - rest.len()) as u64;
            let (frame, after) = Encoding::PLAIN.open_first(rest, "pack", offset).unwrap();
            assert_eq!((frame.kind, frame.body.len()), (i, i as usize * 10));
            rest = after;
        }
        assert!(rest.is_empty());
    }

    #[test]
    fn unknown_ids_are_named() {
        let reseal = |at: usize, id: u8| {
            let mut bytes = Encoding::PLAIN.seal(1, 0, b"x", "k", 0).unwrap();
            bytes[at] = id;
            super::reseal(&mut bytes, "k", 0);
            let error = Encoding::PLAIN.open(&bytes, "k", 0).expect_err("an unknown id");
            assert_eq!(error.code(), "store/unsupported");
            error.message().to_owned()
        };
        assert!(reseal(5, 9).contains("compressor 9"));
        assert!(reseal(6, 1).contains("encryptor 1"));
        assert!(reseal(7, 4).contains("flags 4"));
        assert!(reseal(2, 9).contains("layout version 9"));
    }
}
