//! Any bytes: opening a frame never panics, whatever its encoding, what opens plain is sealed to the same bytes, and a frame
//! that was sealed and then changed in one bit does not open.

#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use treering::store::frame::{HEADER, reseal};
use treering::store::{Compressor, Encoding, EncodingConfig, Key, MemoryBackend, Store};

const KEY: &str = "pack/fuzz";

/// Every way to write a frame; each reads what all but the last have written.
static ENCODINGS: LazyLock<Vec<Encoding>> = LazyLock::new(|| {
    let of = |config: &EncodingConfig| {
        Store::new(MemoryBackend::new()).encoded(config).expect("an encoding").encoding().clone()
    };
    let config = EncodingConfig::new;
    vec![
        Encoding::PLAIN,
        of(&config().compressor(Compressor::Lz4)),
        of(&config().compressor(Compressor::Zstd(1))),
        of(&config().compressor(Compressor::Lz4).encrypted_with(Key::raw([7; 32])).mixed(true)),
    ]
});

fuzz_target!(|bytes: &[u8]| {
    let offset = bytes.len() as u64;
    for encoding in &*ENCODINGS {
        if let Err(error) = encoding.open_first(bytes, KEY, offset) {
            assert!(!error.to_string().is_empty());
        }
    }
    // A right checksum over any header and body: what is under it may be wrong in every way.
    if let Ok((frame, rest)) = Encoding::PLAIN.open_first(bytes, KEY, offset) {
        let compressed = bytes.get(5).is_some_and(|id| *id != 0);
        let again =
            Encoding::PLAIN.seal(frame.kind, frame.serializer, &frame.body, KEY, offset).expect("it was a frame");
        assert!(compressed || [&again[..], rest].concat() == bytes);
    }
    let [place @ .., kind] = bytes else { return };
    let encoding = &ENCODINGS[usize::from(*kind) % ENCODINGS.len()];
    let mut whole = encoding.seal(*kind, 0, place, KEY, offset).expect("a small body");
    assert_eq!(*encoding.open(&whole, KEY, offset).expect("it was sealed").body, *place);
    let bit = place.iter().fold(usize::from(*kind), |sum, byte| sum.wrapping_mul(31).wrapping_add(usize::from(*byte)));
    let bit = bit % (whole.len() * 8);
    whole[bit / 8] ^= 1 << (bit % 8);
    assert!(encoding.open(&whole, KEY, offset).is_err(), "bit {bit} was changed unseen");
    // Bytes that were changed in any place, under a checksum that is right: the body may be wrong in every way.
    reseal(&mut whole, KEY, offset);
    if let Ok(frame) = encoding.open(&whole, KEY, offset) {
        // The checksum itself is put right.
        let is_whole = (16 * 8..HEADER * 8).contains(&bit);
        assert!(is_whole || !encoding.encrypts() || whole[6] == 0, "{frame:?} was not sealed with this key");
    }
});
