//! Valid files that would take disproportionate memory or time if shared data were copied for each use.

use crate::{archive, golden, memory, parse};
use striate::Result;
use striate::weights::Weights;

/// Reads a file, and checks that peak and total memory (as a proxy for time) are in proportion to its size.
fn proportionate(name: &str, file: &[u8], read: impl FnOnce(&[u8]) -> Result<Weights>) {
    let (_, taken) = memory::measure(|| read(file));
    let allowed = 16 * file.len() + (64 << 20);
    assert!(taken.peak <= allowed, "{name}: {} bytes take {} at peak", file.len(), taken.peak);
    assert!(taken.all <= 2 * allowed, "{name}: {} bytes take {} in total", file.len(), taken.all);
}

fn text(text: &str) -> Vec<u8> {
    [b"X", (text.len() as u32).to_le_bytes().as_slice(), text.as_bytes()].concat()
}

const REBUILD: &[u8] = b"ctorch._utils\n_rebuild_tensor_v2\n";

/// A storage of one element.
fn storage(class: &[u8], key: &str) -> Vec<u8> {
    [b"(", &text("storage")[..], class, &text(key), &text("cpu"), b"K\x01tQ"].concat()
}

/// Pickles of a state dict, each of about a megabyte.
fn pickles() -> Vec<(&'static str, Vec<u8>)> {
    const FLOATS: &[u8] = b"ctorch\nFloatStorage\n";
    let long = "A".repeat(400_000);
    let memoized = |value: &[u8], slot: u8| [value, b"q", &[slot]].concat();
    // A tensor from a memoized shape and storage.
    let tensor = b"h\x00(h\x01K\x00h\x02h\x02tR";
    let many = |names: &dyn Fn(usize) -> Vec<u8>, value: &[u8], count: usize| {
        let items: Vec<u8> = (0..count).flat_map(|i| [&names(i)[..], value].concat()).collect();
        [b"}(", &items[..], b"u."].concat()
    };
    let start = |storage: &[u8], shape: &[u8]| {
        [b"\x80\x02", &memoized(REBUILD, 0)[..], &memoized(storage, 1), &memoized(shape, 2)].concat()
    };
    let numbered = |i: usize| text(&format!("{i:05}"));
    let shape = [b"(".as_slice(), &b"K\x01".repeat(200_000), b"t"].concat();
    let class = [text("torch"), text(&format!("{long}Storage")), vec![0x93]].concat();
    let scalar = start(&storage(FLOATS, "0"), b"K\x01\x85");
    let named =
        [&scalar[..], &memoized(&text(&long), 3), &many(&|_| b"h\x03".to_vec(), tensor, 30_000)].concat();
    let parameters = [memoized(b"ctorch.nn.parameter\nParameter\n", 4), memoized(&shape, 5)].concat();
    vec![
        ("shapes", [start(&storage(FLOATS, "0"), &shape), many(&numbered, tensor, 20_000)].concat()),
        ("classes", [start(&storage(&class, "0"), b"K\x01\x85"), many(&numbered, tensor, 20_000)].concat()),
        ("keys", [start(&storage(FLOATS, &long), b"K\x01\x85"), many(&numbered, tensor, 20_000)].concat()),
        ("names", named),
        ("parameters", [&scalar[..], &parameters, &many(&numbered, b"h\x04h\x05R", 40_000)].concat()),
        ("dictionaries", [b"\x80\x02".as_slice(), &b"}".repeat(1_000_000), b"."].concat()),
        ("values", [b"\x80\x02".as_slice(), &b"N".repeat(1_000_000), b"."].concat()),
        ("tuples", [b"\x80\x02N".as_slice(), &b"\x85".repeat(1_000_000), b"."].concat()),
        ("memos", [b"\x80\x02N".as_slice(), &b"\x94".repeat(1_000_000), b"."].concat()),
        ("marks", [b"\x80\x02".as_slice(), &b"(".repeat(1_000_000), b"."].concat()),
        ("lists", [b"\x80\x02](".as_slice(), &b"N".repeat(1_000_000), b"e."].concat()),
        ("tensors", [&scalar[..], &b"h\x00(h\x01K\x00h\x02h\x02tR".repeat(80_000), b"."].concat()),
    ]
}

#[test]
fn pth_archives_take_linear_memory() {
    let plain = golden("plain.pth");
    for (name, pickle) in pickles() {
        proportionate(name, &archive::with_pickle(&plain, &pickle), parse);
    }
}

#[test]
fn legacy_files_take_linear_memory() {
    const FRONT: &[u8] =
        b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.\x80\x02M\xe9\x03.\x80\x02}.";
    for (name, pickle) in pickles() {
        let numbers = [b"\x80\x02]X\x01\0\0\x000a.".as_slice(), &1u64.to_le_bytes(), &[0; 4]].concat();
        proportionate(name, &[FRONT, &pickle, &numbers].concat(), parse);
    }
}

#[test]
fn safetensors_take_linear_memory() {
    let file = |header: String, data: usize| {
        [&(header.len() as u64).to_le_bytes(), header.as_bytes(), &vec![0; data]].concat()
    };
    let empty = |i: usize| format!(r#""{i}":{{"dtype":"F32","shape":[0],"data_offsets":[0,0]}}"#);
    let list =
        |count: usize, item: &dyn Fn(usize) -> String| (0..count).map(item).collect::<Vec<_>>().join(",");
    let axes = format!(
        r#"{{"a":{{"dtype":"F32","shape":[{}],"data_offsets":[0,4]}}}}"#,
        list(500_000, &|_| "1".to_owned())
    );
    let pairs = list(100_000, &|i| format!(r#""{i}":"""#));
    for (name, header, data) in [
        ("tensors", format!("{{{}}}", list(20_000, &empty)), 0),
        ("one name", format!("{{{}}}", list(20_000, &|_| empty(7))), 0),
        ("axes", axes, 4),
        ("metadata", format!(r#"{{"__metadata__":{{{pairs}}}}}"#), 0),
        ("depth", "[".repeat(1_000_000), 0),
    ] {
        proportionate(name, &file(header, data), parse);
    }
}
