//! Memory for temporaries that is kept from call to call until the program ends: fresh memory costs a page fault every 4 KiB.

use std::ops::{Deref, DerefMut};
use std::sync::{Mutex, PoisonError};

/// Buffers that nobody uses.
static FREE: Mutex<Vec<Vec<f32>>> = Mutex::new(Vec::new());

/// Elements with arbitrary contents.
pub struct Scratch {
    buffer: Vec<f32>,
    len: usize,
}

impl Scratch {
    /// Takes the smallest free buffer that is large enough, or else replaces the largest.
    pub fn new(len: usize) -> Self {
        let mut free = FREE.lock().unwrap_or_else(PoisonError::into_inner);
        // Sorted by size.
        let fits = free.partition_point(|buffer| buffer.len() < len);
        let at = fits.min(free.len().saturating_sub(1));
        let mut buffer = if free.is_empty() { Vec::new() } else { free.remove(at) };
        drop(free);
        if buffer.len() < len {
            // Before the new one is allocated.
            drop(std::mem::take(&mut buffer));
            buffer = vec![0.0; len];
        }
        Self { buffer, len }
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let buffer = std::mem::take(&mut self.buffer);
        let mut free = FREE.lock().unwrap_or_else(PoisonError::into_inner);
        let at = free.partition_point(|other| other.len() < buffer.len());
        free.insert(at, buffer);
    }
}

impl Deref for Scratch {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        &self.buffer[..self.len]
    }
}

impl DerefMut for Scratch {
    fn deref_mut(&mut self) -> &mut [f32] {
        &mut self.buffer[..self.len]
    }
}
