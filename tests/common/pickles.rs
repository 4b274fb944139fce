//! Rearranges the opcodes of pickles.

use striate::rng::SplitMix64;

/// Splits a pickle into opcodes with their operands.
fn instructions(pickle: &[u8]) -> Vec<&[u8]> {
    let mut rest = pickle;
    let mut found = Vec::new();
    while let Some(code) = rest.first() {
        let counted = |size: usize| {
            let count = rest[1..][..size].iter().rev().fold(0, |count, byte| count << 8 | usize::from(*byte));
            1 + size + count
        };
        let len = match code {
            b'K' | b'h' | b'q' | 0x80 => 2,
            b'M' => 3,
            b'J' | b'r' | b'j' => 5,
            b'G' | 0x95 => 9,
            b'c' | b'i' => {
                let ends = rest.iter().enumerate().filter(|(_, byte)| **byte == b'\n');
                ends.map(|(at, _)| at + 1).nth(1).expect("two lines")
            }
            0x8a | b'U' | 0x8c | b'C' => counted(1),
            b'X' | b'T' | b'B' => counted(4),
            0x8d => counted(8),
            _ => 1,
        };
        let (instruction, after) = rest.split_at(len);
        found.push(instruction);
        rest = after;
    }
    found
}

/// Moves, removes or repeats a few opcodes, or changes their operands.
pub fn rearranged(pickle: &[u8], rng: &mut SplitMix64) -> Vec<u8> {
    let mut code: Vec<Vec<u8>> = instructions(pickle).into_iter().map(<[u8]>::to_vec).collect();
    for _ in 0..=rng.below(3) {
        let mut index = || rng.below(code.len() as u32) as usize;
        let (at, other) = (index(), index());
        match rng.below(7) {
            0 => {
                let run = code[at..code.len().min(at + 8)].to_vec();
                drop(code.splice(other..other, run));
            }
            1 if code.len() > 1 => drop(code.remove(at)),
            2 => code.swap(at, other),
            3 => {
                let numbers = [0, -1, i32::MAX, i32::MIN, 1 << 20, 255];
                let number = numbers[rng.below(numbers.len() as u32) as usize];
                replace(
                    &mut code,
                    at,
                    |code| b"KMJ".contains(code),
                    &[b"J", number.to_le_bytes().as_slice()].concat(),
                );
            }
            4 => replace(&mut code, at, |code| *code == b'h', &[b'h', rng.next_u64() as u8]),
            5 => code[at] = vec![b"N)]}(tRbQaeus.\x81\x85\x86\x94"[rng.below(18) as usize]],
            // A long string, with its correct length.
            _ => {
                let text = vec![b'a'; 1 << rng.below(13)];
                let long = [b"X", (text.len() as u32).to_le_bytes().as_slice(), &text].concat();
                replace(&mut code, at, |code| *code == b'X', &long);
            }
        }
    }
    code.concat()
}

/// Replaces the first opcode of a kind at or after an index, if there is one.
fn replace(code: &mut [Vec<u8>], from: usize, matches: impl Fn(&u8) -> bool, new: &[u8]) {
    if let Some(found) = code[from..].iter_mut().find(|instruction| matches(&instruction[0])) {
        *found = new.to_vec();
    }
}
