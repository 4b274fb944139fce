//! PyTorch's format from before 1.6, damaged.

use crate::bad::parse;
use crate::{assert_fails, golden};

fn legacy() -> Vec<u8> {
    std::fs::read(golden("legacy.pth")).unwrap()
}

/// The file with one sequence of bytes, which it has once, replaced.
fn replaced(old: &[u8], new: &[u8]) -> Vec<u8> {
    let file = legacy();
    let places: Vec<usize> = (0..file.len()).filter(|at| file[*at..].starts_with(old)).collect();
    assert_eq!(places.len(), 1, "{old:?}");
    [&file[..places[0]], new, &file[places[0] + old.len()..]].concat()
}

#[test]
fn files_cut_short_and_files_that_go_on() {
    let file = legacy();
    for len in [20, 60, 300, file.len() - 400, file.len() - 12, file.len() - 1] {
        let error = parse(&file[..len]).map(|_| ()).expect_err("it is cut").to_string();
        assert!(error.contains("ends in") || error.contains("no end"), "{len}: {error}");
    }
    assert_fails(parse(&[&file[..], b"x"].concat()), &["has 1 bytes after its last storage"]);
}

#[test]
fn pickles_of_others_and_of_other_machines() {
    assert_fails(parse(b"\x80\x02]q\x00(K\x01K\x02e."), &["is a pickle, but not one of torch.save"]);
    assert_fails(parse(&replaced(b"M\xe9\x03.", b"M\xea\x03.")), &["version", "before 1.6"]);
    let little = b"little_endianq\x02\x88";
    assert_fails(parse(&replaced(little, b"little_endianq\x02\x89")), &["big end first"]);
    let tar = [&[b'x'; 257], b"ustar".as_slice(), &[0; 300]].concat();
    assert_fails(parse(&tar), &["tar archive", "torch.load"]);
}

#[test]
fn nothing_is_called_and_no_storage_is_made_up() {
    let call = b"ctorch._utils\n_rebuild_tensor_v2\n";
    assert_fails(parse(&replaced(call, b"cposix\nsystem\n")), &["posix.system", "never"]);
    let class = b"ctorch\nFloatStorage\n";
    assert_fails(parse(&replaced(class, b"ctorch\nOtherStorage\n")), &["a kind that is not known"]);
    assert_fails(
        parse(&replaced(class, b"cother\nFloatStorage\n")),
        &["a form that torch.save does not write"],
    );
    // The counter's class, of which there is one tensor: its bytes are skipped by their right number.
    let class = b"ctorch\nLongStorage\n";
    assert_fails(parse(&replaced(class, b"ctorch\nIntStorage\n")), &["ends in its storage"]);
}
