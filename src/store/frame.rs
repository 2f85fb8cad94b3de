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
//! | 5 | compressor: 0 none |
//! | 6 | encryptor: 0 none |
//! | 7 | flags: 0 |
//! | 8..12 | bytes of the body as stored |
//! | 12..16 | bytes of the body when decompressed |
//! | 16..24 | xxh3-64 of the body, seeded by xxh3-64 of bytes 0..16, seeded by the place |
//!
//! The place is the blob's key and the offset in it, so a frame that was copied or moved elsewhere does not verify.
//! A frame stands alone: many can lie in one blob, each read by range.

use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::error::{Error, ErrorKind, Result};

/// Bytes before the body.
pub const HEADER: usize = 24;
const MAGIC: [u8; 2] = *b"Tr";
const VERSION: u8 = 1;
/// Where the checksum begins; what stands before it is under the checksum.
const CHECKED: usize = 16;

/// Kinds of bodies. Numbers are for good; the log of transactions has 1, the layers above the store have up to 15.
pub mod kind {
    /// The metadata of a value under a key of the user's.
    pub const METADATA: u8 = 16;
    /// A value under a key of the user's.
    pub const VALUE: u8 = 17;
    /// An element of an append log.
    pub const ELEMENT: u8 = 18;
}

/// How bodies are written. Numbers are for good.
pub mod serializer {
    /// A form of EDN as text.
    pub const EDN: u8 = 0;
    /// Bytes of the user's, as they are.
    pub const RAW: u8 = 255;
}

/// A frame that was verified.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Frame<'a> {
    /// What the body is, as given to [`encode`](Frame::encode).
    pub kind: u8,
    /// How the body was serialized, as given to [`encode`](Frame::encode).
    pub serializer: u8,
    /// The bytes.
    pub body: &'a [u8],
}

/// The hash of a place, mixed into the checksum.
fn place(key: &str, offset: u64) -> u64 {
    xxh3_64_with_seed(key.as_bytes(), offset)
}

fn checksum(header: &[u8], body: &[u8], key: &str, offset: u64) -> u64 {
    xxh3_64_with_seed(body, xxh3_64_with_seed(header, place(key, offset)))
}

fn bad(code: &'static str, key: &str, offset: u64, what: &str) -> Error {
    Error::new(ErrorKind::Corrupt, code, format!("the blob {key:?} at offset {offset} {what}"))
}

/// `N` bytes of `bytes` from `at`; `None` past the end.
fn field<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..at.checked_add(N)?)?.try_into().ok()
}

impl<'a> Frame<'a> {
    /// Appends a frame around `body` to `out`, to be stored so that it begins at `offset` of the blob `key`.
    ///
    /// # Errors
    /// `store/too-large` if the body does not fit 4 GiB.
    pub fn encode_into(out: &mut Vec<u8>, kind: u8, serializer: u8, body: &[u8], key: &str, offset: u64) -> Result<()> {
        let Ok(len) = u32::try_from(body.len()) else {
            let what = format!("the blob {key:?} is too large: {} bytes, at most {} fit", body.len(), u32::MAX);
            return Err(Error::new(ErrorKind::Limit, "store/too-large", what));
        };
        let mut header = [0; CHECKED];
        header[..2].copy_from_slice(&MAGIC);
        header[2] = VERSION;
        header[3] = kind;
        header[4] = serializer;
        header[8..12].copy_from_slice(&len.to_le_bytes());
        header[12..16].copy_from_slice(&len.to_le_bytes());
        out.reserve(HEADER + body.len());
        out.extend_from_slice(&header);
        out.extend_from_slice(&checksum(&header, body, key, offset).to_le_bytes());
        out.extend_from_slice(body);
        Ok(())
    }

    /// A frame around `body`, to be stored so that it begins at `offset` of the blob `key`.
    ///
    /// ```
    /// use treering::store::frame::Frame;
    /// let bytes = Frame::encode(1, 0, b"body", "head/main", 0)?;
    /// assert_eq!(Frame::decode(&bytes, "head/main", 0)?.body, b"body");
    /// assert!(Frame::decode(&bytes, "head/other", 0).is_err());
    /// # Ok::<(), treering::Error>(())
    /// ```
    ///
    /// # Errors
    /// `store/too-large` if the body does not fit 4 GiB.
    pub fn encode(kind: u8, serializer: u8, body: &[u8], key: &str, offset: u64) -> Result<Vec<u8>> {
        let mut out = Vec::with_capacity(HEADER + body.len());
        Frame::encode_into(&mut out, kind, serializer, body, key, offset)?;
        Ok(out)
    }

    /// Verifies the frame that fills `bytes`, which were read at `offset` of the blob `key`.
    ///
    /// # Errors
    /// `store/corrupt` if a single bit differs from what was encoded for this place, `store/unsupported` for a layout,
    /// compressor or encryptor that this version does not know.
    pub fn decode(bytes: &'a [u8], key: &str, offset: u64) -> Result<Frame<'a>> {
        let (frame, rest) = Frame::decode_first(bytes, key, offset)?;
        if !rest.is_empty() {
            return Err(bad("store/corrupt", key, offset, &format!("has {} bytes after its frame", rest.len())));
        }
        Ok(frame)
    }

    /// Verifies the frame that `bytes` begin with, and gives it with the bytes after it.
    ///
    /// # Errors
    /// As [`decode`](Self::decode).
    pub fn decode_first(bytes: &'a [u8], key: &str, offset: u64) -> Result<(Frame<'a>, &'a [u8])> {
        let total = Frame::total_len(bytes, key, offset)?;
        let cut = |from: usize, to: u64| bytes.get(from..usize::try_from(to).ok()?);
        let (Some(header), Some(stored), Some(body)) =
            (bytes.get(..CHECKED), field(bytes, CHECKED), cut(HEADER, total))
        else {
            let what = format!("is cut short: {} bytes where its frame has {total}", bytes.len());
            return Err(bad("store/corrupt", key, offset, &what));
        };
        if u64::from_le_bytes(stored) != checksum(header, body, key, offset) {
            return Err(bad("store/corrupt", key, offset, "does not match its checksum"));
        }
        let [_, _, _, kind, serializer, compressor, encryptor, flags, ..] = *header else {
            return Err(bad("store/corrupt", key, offset, "has no header"));
        };
        for (name, id) in [("compressor", compressor), ("encryptor", encryptor), ("flags", flags)] {
            if id != 0 {
                let what = format!("was written with {name} {id}, which this version does not have");
                return Err(bad("store/unsupported", key, offset, &what));
            }
        }
        if header.get(8..12) != header.get(12..16) {
            return Err(bad("store/corrupt", key, offset, "claims two lengths without compression"));
        }
        Ok((Frame { kind, serializer, body }, bytes.get(HEADER + body.len()..).unwrap_or_default()))
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
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::{any, prop_assert, prop_assert_eq, proptest};

    proptest! {
        #[test]
        fn what_was_encoded_is_decoded(kind: u8, serializer: u8, body: Vec<u8>, offset: u64) {
            let bytes = Frame::encode(kind, serializer, &body, "k/1", offset).unwrap();
            prop_assert_eq!(Frame::decode(&bytes, "k/1", offset).unwrap(), Frame { kind, serializer, body: &body });
            prop_assert!(Frame::decode(&bytes, "k/1", offset.wrapping_add(1)).is_err());
            prop_assert!(Frame::decode(&bytes, "k/2", offset).is_err());
        }

        #[test]
        fn any_bytes_are_an_error_or_a_frame(bytes: Vec<u8>, magic: bool) {
            let mut bytes = bytes;
            if magic {
                bytes.splice(0..0, [b'T', b'r', VERSION]);
            }
            prop_assert!(Frame::decode_first(&bytes, "k", 0).is_err());
        }

        #[test]
        fn a_cut_or_longer_frame_is_an_error(body: Vec<u8>, cut in any::<proptest::sample::Index>(), tail in 1usize..9) {
            let bytes = Frame::encode(1, 0, &body, "k", 0).unwrap();
            prop_assert!(Frame::decode(&bytes[..cut.index(bytes.len())], "k", 0).is_err());
            let mut longer = bytes;
            longer.extend(vec![0; tail]);
            prop_assert!(Frame::decode(&longer, "k", 0).is_err());
        }
    }

    #[test]
    fn every_flip_of_a_byte_is_seen() {
        for len in [0, 1, 7, 16, 100, 300, 1000] {
            let body: Vec<u8> = (0..len).map(|i| (i * 31) as u8).collect();
            let whole = Frame::encode(3, 1, &body, "pack/0", 4096).unwrap();
            for at in 0..whole.len() {
                for pattern in [1, 0x80, 0xff, 0x10] {
                    let mut bytes = whole.clone();
                    bytes[at] ^= pattern;
                    let error = Frame::decode(&bytes, "pack/0", 4096).expect_err("a flipped byte");
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
            Frame::encode_into(&mut pack, i, 0, &vec![i; i as usize * 10], "pack", offset).unwrap();
        }
        let mut rest = &pack[..];
        for i in 0..5u8 {
            let offset = (pack.len() - rest.len()) as u64;
            let (frame, after) = Frame::decode_first(rest, "pack", offset).unwrap();
            assert_eq!((frame.kind, frame.body.len()), (i, i as usize * 10));
            rest = after;
        }
        assert!(rest.is_empty());
    }

    #[test]
    fn unknown_ids_are_named() {
        let reseal = |at: usize, id: u8| {
            let mut bytes = Frame::encode(1, 0, b"x", "k", 0).unwrap();
            bytes[at] = id;
            let sum = checksum(&bytes[..CHECKED], b"x", "k", 0);
            bytes[CHECKED..HEADER].copy_from_slice(&sum.to_le_bytes());
            let error = Frame::decode(&bytes, "k", 0).expect_err("an unknown id");
            assert_eq!(error.code(), "store/unsupported");
            error.message().to_owned()
        };
        assert!(reseal(5, 2).contains("compressor 2"));
        assert!(reseal(6, 1).contains("encryptor 1"));
        assert!(reseal(7, 4).contains("flags 4"));
        assert!(reseal(2, 9).contains("layout version 9"));
    }
}
