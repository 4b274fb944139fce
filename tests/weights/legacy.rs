//! Damaged files in the format used before PyTorch 1.6.

use crate::bad::parse;
use crate::{assert_fails, golden};

fn legacy() -> Vec<u8> {
    std::fs::read(golden("legacy.pth")).unwrap()
}

/// The file with the only occurrence of `old` replaced.
fn replaced(old: &[u8], new: &[u8]) -> Vec<u8> {
    let file = legacy();
    let found: Vec<usize> = (0..file.len()).filter(|at| file[*at..].starts_with(old)).collect();
    assert_eq!(found.len(), 1, "{old:?}");
    [&file[..found[0]], new, &file[found[0] + old.len()..]].concat()
}

#[test]
fn truncated_files_and_trailing_bytes_are_rejected() {
    let file = legacy();
    for len in [20, 60, 300, file.len() - 400, file.len() - 12, file.len() - 1] {
        let error = parse(&file[..len]).map(|_| ()).expect_err("it is truncated").to_string();
        assert!(error.contains("ends in"), "{len}: {error}");
    }
    assert_fails(parse(&[&file[..], b"x"].concat()), &["has 1 bytes after its last storage"]);
}

#[test]
fn other_pickles_versions_and_byte_orders_are_rejected() {
    assert_fails(parse(b"\x80\x02]q\x00(K\x01K\x02e."), &["is a pickle, but not one from torch.save"]);
    assert_fails(parse(&replaced(b"M\xe9\x03.", b"M\xea\x03.")), &["version", "before PyTorch 1.6"]);
    let little = b"little_endianq\x02\x88";
    assert_fails(parse(&replaced(little, b"little_endianq\x02\x89")), &["big-endian"]);
    let tar = [&[b'x'; 257], b"ustar".as_slice(), &[0; 300]].concat();
    assert_fails(parse(&tar), &["tar archive", "torch.load"]);
}

#[test]
fn calls_and_unknown_storages_are_rejected() {
    let call = b"ctorch._utils\n_rebuild_tensor_v2\n";
    assert_fails(parse(&replaced(call, b"cposix\nsystem\n")), &["posix.system", "never"]);
    let class = b"ctorch\nFloatStorage\n";
    assert_fails(parse(&replaced(class, b"ctorch\nOtherStorage\n")), &["a storage of unknown type"]);
    assert_fails(parse(&replaced(class, b"cother\nFloatStorage\n")), &["a form unknown to torch.save"]);
    // The only integer tensor is the batch-norm counter; a wrong element size shifts everything after it.
    let class = b"ctorch\nLongStorage\n";
    assert_fails(parse(&replaced(class, b"ctorch\nIntStorage\n")), &["ends inside storage"]);
}
