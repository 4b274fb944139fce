//! Damaged and malicious files: each is rejected with a one-line message.

use crate::{assert_fails, golden};
use std::path::Path;
use striate::Result;
use striate::weights::Weights;

pub fn parse(bytes: &[u8]) -> Result<Weights> {
    Weights::parse(Path::new("file"), bytes)
}

/// A safetensors file with a given header and data.
fn file(header: &str, data: &[u8]) -> Vec<u8> {
    [&(header.len() as u64).to_le_bytes(), header.as_bytes(), data].concat()
}

fn tensor(name: &str, [from, to]: [usize; 2]) -> String {
    let len = (to - from) / 4;
    format!(r#""{name}":{{"dtype":"F32","shape":[{len}],"data_offsets":[{from},{to}]}}"#)
}

#[test]
fn damaged_safetensors_files_are_rejected() {
    let good = file(&format!("{{{},{}}}", tensor("a", [0, 8]), tensor("b", [8, 16])), &[0; 16]);
    assert!(parse(&good).is_ok());
    assert_fails(parse(b""), &["file: is empty"]);
    assert_fails(parse(b"hello"), &["neither a safetensors"]);
    assert_fails(parse(b"<html>Not found</html>"), &["neither a safetensors"]);
    assert_fails(parse(&good[..good.len() - 1]), &["truncated"]);
    assert_fails(parse(&[good.as_slice(), b"x"].concat()), &["its length does not match"]);
    assert_fails(parse(&[&1000u64.to_le_bytes(), b"{}".as_slice()].concat()), &["longer than the file"]);
    assert_fails(parse(&[&u64::MAX.to_le_bytes(), b"{}".as_slice()].concat()), &["header"]);
    let overlap = file(&format!("{{{},{}}}", tensor("a", [0, 8]), tensor("b", [4, 12])), &[0; 12]);
    assert_fails(parse(&overlap), &["overlaps"]);
    let shape = r#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,4]}}"#;
    assert_fails(parse(&file(shape, &[0; 4])), &["shape"]);
    let huge = r#"{"a":{"dtype":"F32","shape":[4294967296,4294967296,4294967296],"data_offsets":[0,4]}}"#;
    assert_fails(parse(&file(huge, &[0; 4])), &["overflow"]);
    assert_fails(
        parse(&file(r#"{"a":{"dtype":"F33","shape":[1],"data_offsets":[0,4]}}"#, &[0; 4])),
        &["F33"],
    );
}

#[test]
fn zip_archives_without_a_plain_state_dict_are_rejected() {
    let fails = |name: &str, words: &[&str]| assert_fails(Weights::read(&golden(name)), words);
    fails("caller.pth", &["posix.system", "never"]);
    fails("module.pth", &["calls __main__.Small"]);
    fails("compressed.pth", &["compressed.pth: is compressed"]);
    let plain = std::fs::read(golden("plain.pth")).unwrap();
    assert_fails(parse(&plain[..plain.len() / 2]), &["damaged zip file"]);
    assert_fails(Weights::read(Path::new("nowhere.pth")), &["nowhere.pth: cannot read"]);
    assert_fails(Weights::read(Path::new(env!("CARGO_MANIFEST_DIR"))), &["cannot read"]);
    if Path::new("/dev/zero").exists() {
        assert_fails(Weights::read(Path::new("/dev/zero")), &["/dev/zero: is a device"]);
    }
}

/// The archive `plain.pth` with its pickle replaced.
fn with_pickle(pickle: &[u8]) -> Vec<u8> {
    crate::archive::with_pickle(&std::fs::read(golden("plain.pth")).unwrap(), pickle)
}

#[test]
fn invalid_pickles_are_rejected() {
    let fails = |pickle: &[u8], words: &[&str]| assert_fails(parse(&with_pickle(pickle)), words);
    fails(b"", &["ends in the middle"]);
    fails(b"\x80\x02N.", &["holds None, expected a state dict"]);
    fails(b"\x80\x02}.", &["empty state dict"]);
    fails(b"\x80\x02}X\x01\0\0\0aK\x01s.", &["\"a\" is a number, expected a tensor"]);
    fails(b"\x80\x02\x85.", &["more values than its stack holds"]);
    fails(b"\x80\x02h\x07.", &["never set"]);
    fails(b"\x80\x02X\xff\xff\xff\xffabc.", &["ends in the middle"]);
    fails(b"\x80\x02cbuiltins\neval\nX\x01\0\0\x001\x85R.", &["builtins.eval"]);
    fails(b"\x80\x02(cos\nsystem\nX\x01\0\0\0ao.", &["os.system"]);
    fails(b"\x80\x02(ios\nsystem\n.", &["os.system"]);
    fails(b"\x80\x04\x8c\x02os\x8c\x06system\x93)R.", &["os.system"]);
    fails(b"\x80\x02V1\n.", &["opcode 0x56"]);
    // Tuples nested a million deep, and a dictionary that contains itself.
    fails(
        &[b"\x80\x02)".as_slice(), &[0x85; 1_000_000], b"."].concat(),
        &["a sequence, expected a state dict"],
    );
    fails(b"\x80\x02}q\0X\x01\0\0\0ah\0s.", &["\"a\" is a dictionary, expected a tensor"]);
    fails(b"\x80\x02Nr\xff\xff\xff\x7f.", &["out of order"]);
}

/// A pickle of one tensor in `plain.pth`'s first storage of 108 elements.
fn view(offset: u32, size: u32, stride: u32) -> Vec<u8> {
    let int = |number: u32| [b"J".as_slice(), &number.to_le_bytes()].concat();
    let text = |text: &str| [b"X".as_slice(), &(text.len() as u32).to_le_bytes(), text.as_bytes()].concat();
    [
        b"\x80\x02}".to_vec(),
        text("a"),
        b"ctorch._utils\n_rebuild_tensor_v2\n((".to_vec(),
        text("storage"),
        b"ctorch\nFloatStorage\n".to_vec(),
        text("0"),
        text("cpu"),
        int(108),
        b"tQ".to_vec(),
        int(offset),
        int(size),
        b"\x85".to_vec(),
        int(stride),
        b"\x85\x89NtRs.".to_vec(),
    ]
    .concat()
}

#[test]
fn views_stay_within_their_storage() {
    let read = |view: Vec<u8>| parse(&with_pickle(&view));
    assert_eq!(read(view(107, 1, 1)).unwrap().get("a").unwrap().len(), 1);
    assert_eq!(read(view(0, 54, 2)).unwrap().get("a").unwrap().len(), 54);
    assert_eq!(read(view(3, 0, 1)).unwrap().get("a").unwrap().len(), 0);
    assert_fails(read(view(1, 108, 1)), &["a extends past its storage"]);
    assert_fails(read(view(0, 55, 2)), &["a extends past its storage"]);
    assert_fails(read(view(109, 0, 1)), &["a extends past its storage"]);
    // Stride 0, as from `expand`, is valid, but not with more elements than the file has bytes.
    assert_eq!(read(view(0, 200, 0)).unwrap().get("a").unwrap().len(), 200);
    assert_fails(read(view(0, i32::MAX as u32, 0)), &["larger than the file"]);
    assert_fails(read(view(0, u32::MAX, 0)), &["invalid size -1"]);
}
