//! The IDX format of MNIST: a magic number, the dimensions, then one byte per element.
//!
//! Integers are big-endian `u32`. Gzip is detected from the content, not the name.
//! Layout: <https://github.com/zalandoresearch/fashion-mnist>, which refers to MNIST's page.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;

use flate2::bufread::GzDecoder;

use super::MAX_BYTES;
use crate::file::open_file;
use crate::{Error, Result};

const IMAGES_MAGIC: u32 = 0x0000_0803;
const LABELS_MAGIC: u32 = 0x0000_0801;
const GZIP_MAGIC: [u8; 2] = [0x1f, 0x8b];

const REPAIR: &str = "download the file again";

/// The images of an IDX file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdxImages {
    /// Number of images, at least 1.
    pub count: usize,
    /// Height in pixels.
    pub height: usize,
    /// Width in pixels.
    pub width: usize,
    /// All pixels, `[count, height, width]`, from 0 for black to 255 for white.
    pub pixels: Vec<u8>,
}

/// Reads an IDX file of grayscale images (magic number 0x00000803), gzipped or not. Memory use depends on the file's actual
/// content, whatever its header claims.
///
/// # Errors
///
/// [`Error::Io`] if the file cannot be read, [`Error::Data`] if its content does not match its header.
pub fn read_idx_images(path: &Path) -> Result<IdxImages> {
    parse_images(path, open(path)?)
}

/// Reads an IDX file of labels (magic number 0x00000801), gzipped or not.
///
/// # Errors
///
/// As for [`read_idx_images`].
pub fn read_idx_labels(path: &Path) -> Result<Vec<u8>> {
    parse_labels(path, open(path)?)
}

/// Parses images; `path` is for messages.
pub(super) fn parse_images(path: &Path, bytes: impl BufRead) -> Result<IdxImages> {
    let ([count, height, width], pixels) = parse(path, bytes, IMAGES_MAGIC)?;
    Ok(IdxImages { count, height, width, pixels })
}

/// Parses labels; `path` is for messages.
pub(super) fn parse_labels(path: &Path, bytes: impl BufRead) -> Result<Vec<u8>> {
    let ([_], labels) = parse(path, bytes, LABELS_MAGIC)?;
    Ok(labels)
}

fn open(path: &Path) -> Result<BufReader<File>> {
    open_file(path).map(BufReader::new)
}

fn parse<const D: usize>(path: &Path, bytes: impl BufRead, magic: u32) -> Result<([usize; D], Vec<u8>)> {
    let mut source = Source::new(path, bytes)?;
    check_magic(path, source.number()?, magic)?;
    let mut sizes = [0; D];
    for size in &mut sizes {
        *size = source.number()?;
    }
    let expected = element_count(path, &sizes)?;
    let elements = source.elements(expected)?;
    source.finish()?;
    // `element_count` keeps the product under MAX_BYTES, so each size fits.
    Ok((sizes.map(|size| size as usize), elements))
}

fn check_magic(path: &Path, found: u32, expected: u32) -> Result<()> {
    let kind = |magic| match magic {
        IMAGES_MAGIC => "images",
        LABELS_MAGIC => "labels",
        _ => "something else",
    };
    if found == expected {
        return Ok(());
    }
    Err(Error::data(
        path,
        format!(
            "expected the magic number {expected:#010x} of IDX {}, found {found:#010x} ({}); choose the right file",
            kind(expected),
            kind(found)
        ),
    ))
}

fn element_count(path: &Path, sizes: &[u32]) -> Result<u64> {
    let product = sizes.iter().try_fold(1u64, |product, &size| product.checked_mul(u64::from(size)));
    let claimed = sizes.iter().map(u32::to_string).collect::<Vec<_>>().join(" x ");
    match product {
        Some(0) => Err(Error::data(
            path,
            format!("its header claims {claimed} bytes, so it holds no data; {REPAIR}"),
        )),
        Some(count) if count <= MAX_BYTES => Ok(count),
        _ => Err(Error::data(
            path,
            format!("its header claims {claimed} bytes, more than the {MAX_BYTES} allowed; {REPAIR}"),
        )),
    }
}

/// The uncompressed bytes of an IDX file, and its path for messages.
struct Source<'a, R: BufRead> {
    path: &'a Path,
    bytes: Bytes<R>,
}

enum Bytes<R: BufRead> {
    Plain(R),
    Gzip(Box<GzDecoder<R>>),
}

impl<R: BufRead> Read for Bytes<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Bytes::Plain(reader) => reader.read(buffer),
            Bytes::Gzip(reader) => reader.read(buffer),
        }
    }
}

impl<'a, R: BufRead> Source<'a, R> {
    fn new(path: &'a Path, mut bytes: R) -> Result<Self> {
        let start = bytes.fill_buf().map_err(Error::io(path, "read"))?;
        if start.is_empty() {
            return Err(Error::data(path, format!("expected an IDX file, found an empty one; {REPAIR}")));
        }
        let gzip = start.starts_with(&GZIP_MAGIC);
        let bytes = if gzip { Bytes::Gzip(Box::new(GzDecoder::new(bytes))) } else { Bytes::Plain(bytes) };
        Ok(Self { path, bytes })
    }

    fn number(&mut self) -> Result<u32> {
        let mut number = Vec::with_capacity(4);
        self.read(4, &mut number)?;
        let bytes = <[u8; 4]>::try_from(number.as_slice());
        bytes.map(u32::from_be_bytes).map_err(|_| {
            Error::data(self.path, format!("ends within the header, so it is truncated or not IDX; {REPAIR}"))
        })
    }

    fn elements(&mut self, expected: u64) -> Result<Vec<u8>> {
        let mut elements = Vec::new();
        // One byte more than expected, to detect trailing data and to make the decoder verify gzip's checksum.
        self.read(expected + 1, &mut elements)?;
        let found = elements.len() as u64;
        if found < expected {
            let problem = format!("its header claims {expected} bytes, but only {found} follow; {REPAIR}");
            return Err(Error::data(self.path, problem));
        }
        if found > expected {
            let problem = format!("its header claims {expected} bytes, but more follow; {REPAIR}");
            return Err(Error::data(self.path, problem));
        }
        Ok(elements)
    }

    fn read(&mut self, limit: u64, into: &mut Vec<u8>) -> Result<()> {
        let outcome = (&mut self.bytes).take(limit).read_to_end(into);
        outcome.map(drop).map_err(|error| self.explain(error))
    }

    /// Errors of the operating system carry a code; all others mean bad gzip data.
    fn explain(&self, error: io::Error) -> Error {
        match (error.raw_os_error(), error.kind()) {
            (Some(_), _) => Error::io(self.path, "read")(error),
            (None, io::ErrorKind::UnexpectedEof) => {
                Error::data(self.path, format!("its gzip data is truncated; {REPAIR}"))
            }
            _ => Error::data(self.path, format!("its gzip data is damaged ({error}); {REPAIR}")),
        }
    }

    fn finish(self) -> Result<()> {
        let Bytes::Gzip(decoder) = self.bytes else {
            return Ok(());
        };
        let mut rest = decoder.into_inner();
        if rest.fill_buf().map_err(Error::io(self.path, "read"))?.is_empty() {
            return Ok(());
        }
        Err(Error::data(self.path, format!("has trailing bytes after its gzip data; {REPAIR}")))
    }
}
