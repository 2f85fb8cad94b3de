//! Any bytes: decoding a frame never panics, what decodes is encoded to the same bytes, and a frame that was encoded and
//! then changed in one bit does not decode.

#![no_main]

use libfuzzer_sys::fuzz_target;
use treering::store::frame::{Frame, HEADER};

const KEY: &str = "pack/fuzz";

fuzz_target!(|bytes: &[u8]| {
    let offset = bytes.len() as u64;
    match Frame::decode_first(bytes, KEY, offset) {
        Ok((frame, rest)) => {
            let again = Frame::encode(frame.kind, frame.serializer, frame.body, KEY, offset).expect("it was a frame");
            assert_eq!([&again[..], rest].concat(), bytes);
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
    let [place @ .., kind] = bytes else { return };
    let mut whole = Frame::encode(*kind, 0, place, KEY, offset).expect("a small body");
    assert_eq!(Frame::decode(&whole, KEY, offset).expect("it was encoded").body, place);
    let bit = place.iter().fold(usize::from(*kind), |sum, byte| sum.wrapping_mul(31).wrapping_add(usize::from(*byte)));
    let bit = bit % ((HEADER + place.len()) * 8);
    whole[bit / 8] ^= 1 << (bit % 8);
    assert!(Frame::decode(&whole, KEY, offset).is_err(), "bit {bit} was changed unseen");
});
