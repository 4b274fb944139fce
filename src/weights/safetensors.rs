//! The safetensors format: the header's length, a JSON header, then the tensors' bytes.
//!
//! Layout: <https://github.com/huggingface/safetensors>.

use super::dtype::{Float, half_bytes};
use super::{COUNTER, Stored, Tensors};
use crate::file::write_with;
use crate::{Result, Tensor};
use safetensors::tensor::{Metadata, TensorInfo, TensorView};
use safetensors::{Dtype, SafeTensorError, SafeTensors};
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, ErrorKind, Write};
use std::path::Path;

/// Name of the metadata in the header.
const METADATA: &str = "__metadata__";

/// Parses a file's tensors and metadata. The error says what is wrong with the file.
pub fn read(bytes: &[u8]) -> Result<(Tensors, BTreeMap<String, String>), String> {
    let (_, header) = SafeTensors::read_metadata(bytes).map_err(|e| explain(bytes, e))?;
    let file = SafeTensors::deserialize(bytes).map_err(|e| explain(bytes, e))?;
    let tensor = |view: TensorView| -> Result<Stored> {
        let float = match view.dtype() {
            Dtype::F64 => Float::F64,
            Dtype::F32 => Float::F32,
            Dtype::F16 => Float::F16,
            Dtype::BF16 => Float::BF16,
            other => return Ok(Stored::Other(other.to_string())),
        };
        float.tensor(view.shape(), view.data())
    };
    let tensors = file.iter().map(|(name, view)| Ok((name.to_owned(), tensor(view)?)));
    let tensors = tensors.collect::<Result<_>>().map_err(|e| e.to_string())?;
    let metadata = header.metadata().iter().flatten().map(|(k, v)| (k.clone(), v.clone()));
    Ok((tensors, metadata.collect()))
}

fn explain(bytes: &[u8], error: SafeTensorError) -> String {
    if bytes.is_empty() {
        return "is empty; expected a safetensors or .pth file".to_owned();
    }
    let what = match error {
        SafeTensorError::MetadataIncompleteBuffer => {
            "its length does not match its header, as in a truncated download".to_owned()
        }
        SafeTensorError::InvalidOffset(name) => {
            format!("the data of {name} overlaps another tensor's or leaves a gap")
        }
        SafeTensorError::InvalidHeaderLength => "its header is longer than the file".to_owned(),
        SafeTensorError::TensorInvalidInfo => "a tensor's shape does not match its data".to_owned(),
        other => other.to_string(),
    };
    format!("is neither a safetensors nor a .pth file, or is damaged ({what}); download or save it again")
}

/// Writes a safetensors file atomically. Equal tensors and metadata produce equal bytes.
///
/// Each batch norm, recognized by its `running_mean`, also gets the `num_batches_tracked` that PyTorch's strict
/// loading requires. It is 0, since PyTorch only uses it for batch norms without momentum.
///
/// # Errors
///
/// [`Error::Io`](crate::Error::Io) if the file cannot be written, two tensors have the same name, or one is named `__metadata__`.
pub fn write(path: &Path, tensors: &[(String, Tensor)], metadata: &BTreeMap<String, String>) -> Result<()> {
    write_with(path, &|out| write_to(out, tensors, metadata))
}

/// Like [`write()`], but stores tensors of two or more axes, the weights of convolutions and linear layers, in half precision.
///
/// # Errors
///
/// As for [`write()`], and [`Error::Argument`](crate::Error::Argument) if a value is out of range.
pub fn write_half(
    path: &Path,
    tensors: &[(String, Tensor)],
    metadata: &BTreeMap<String, String>,
) -> Result<()> {
    let halves = tensors.iter().map(|(name, tensor)| half_bytes(name, tensor)).collect::<Result<Vec<_>>>()?;
    write_with(path, &|out| {
        let entries = tensors.iter().zip(&halves).map(|((name, tensor), half)| match half {
            Some(bytes) => (name.clone(), Dtype::F16, tensor.shape().to_vec(), &bytes[..]),
            None => single(name, tensor),
        });
        write_entries(out, entries.collect(), metadata)
    })
}

/// Writes the same bytes as [`write()`] to any writer.
///
/// # Errors
///
/// Those of `out`, and [`std::io::ErrorKind::InvalidInput`] if two tensors have the same name or one is named `__metadata__`.
pub fn write_to(
    out: &mut dyn Write,
    tensors: &[(String, Tensor)],
    metadata: &BTreeMap<String, String>,
) -> io::Result<()> {
    write_entries(out, tensors.iter().map(|(name, tensor)| single(name, tensor)).collect(), metadata)
}

/// Name, type, shape and bytes of a tensor.
type Entry<'a> = (String, Dtype, Vec<usize>, &'a [u8]);

fn single<'a>(name: &str, tensor: &'a Tensor) -> Entry<'a> {
    (name.to_owned(), Dtype::F32, tensor.shape().to_vec(), tensor.as_bytes())
}

/// The counter of a batch norm.
const ZERO: [u8; 8] = 0i64.to_le_bytes();

/// Writes tensors and the counters of their batch norms.
fn write_entries(
    out: &mut dyn Write,
    mut all: Vec<Entry<'_>>,
    metadata: &BTreeMap<String, String>,
) -> io::Result<()> {
    let norms = all.iter().filter_map(|(name, ..)| name.strip_suffix("running_mean"));
    let norms = norms.filter(|norm| norm.is_empty() || norm.ends_with('.'));
    let counters: Vec<Entry<'_>> =
        norms.map(|norm| (format!("{norm}{COUNTER}"), Dtype::I64, vec![], &ZERO[..])).collect();
    all.extend(counters);
    // The order of `safetensors::serialize`, which itself would need a second copy of all tensors in memory.
    all.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    let mut taken = BTreeSet::from([METADATA]);
    if let Some((name, ..)) = all.iter().find(|(name, ..)| !taken.insert(name)) {
        let problem =
            format!("{name}: another tensor has this name, or the format reserves it; rename the tensor");
        return Err(io::Error::new(ErrorKind::InvalidInput, problem));
    }
    let mut end = 0;
    let infos = all.iter().map(|(name, dtype, shape, bytes)| {
        let start = end;
        end += bytes.len();
        (name.clone(), TensorInfo { dtype: *dtype, shape: shape.clone(), data_offsets: (start, end) })
    });
    let header = header(infos.collect(), metadata)?;
    out.write_all(&(header.len() as u64).to_le_bytes())?;
    out.write_all(header.as_bytes())?;
    all.iter().try_for_each(|(.., bytes)| out.write_all(bytes))
}

/// A header with sorted metadata. [`Metadata`] would write it in a `HashMap`'s order, so that files would differ
/// from run to run.
fn header(infos: Vec<(String, TensorInfo)>, metadata: &BTreeMap<String, String>) -> io::Result<String> {
    let invalid = |e: SafeTensorError| io::Error::new(ErrorKind::InvalidInput, e);
    let mut header = serde_json::Map::from_iter([(METADATA.to_owned(), json!(metadata))]);
    let tensors = serde_json::to_value(Metadata::new(None, infos).map_err(invalid)?)?;
    header.extend(tensors.as_object().expect("a header is an object").clone());
    let mut header = serde_json::to_string(&header)?;
    header.extend(std::iter::repeat_n(' ', header.len().next_multiple_of(8) - header.len()));
    Ok(header)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Records the largest single write.
    #[derive(Default)]
    struct Recorder {
        bytes: Vec<u8>,
        largest: usize,
    }

    impl Write for Recorder {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.largest = self.largest.max(bytes.len());
            self.bytes.extend(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn tensors_are_streamed_in_the_order_of_the_safetensors_crate() {
        let tensor = |len: usize| Tensor::f32([len], (0..len).map(|v| v as f32).collect()).unwrap();
        let tensors =
            [("b.weight", 3000), ("a.running_mean", 2000)].map(|(name, len)| (name.to_owned(), tensor(len)));
        let mut out = Recorder::default();
        write_to(&mut out, &tensors, &BTreeMap::from([("k".into(), "v".into())])).unwrap();
        assert_eq!(out.largest, 4 * 3000);
        let (found, metadata) = read(&out.bytes).unwrap();
        assert_eq!((found.len(), metadata["k"].as_str()), (3, "v"));

        let zero = 0i64.to_le_bytes();
        let views = [
            ("b.weight", TensorView::new(Dtype::F32, vec![3000], tensors[0].1.as_bytes()).unwrap()),
            ("a.running_mean", TensorView::new(Dtype::F32, vec![2000], tensors[1].1.as_bytes()).unwrap()),
            ("a.num_batches_tracked", TensorView::new(Dtype::I64, vec![], &zero).unwrap()),
        ];
        let theirs = safetensors::serialize(views, None).unwrap();
        assert!(out.bytes.ends_with(&theirs[theirs.len() - 4 * 5000 - 8..]));
    }

    #[test]
    fn taken_names_are_rejected() {
        for names in [["a", "a"], ["a", "__metadata__"], ["a.running_mean", "a.num_batches_tracked"]] {
            let tensors = names.map(|name| (name.to_owned(), Tensor::f32([1], vec![0.0]).unwrap()));
            let error = write_to(&mut Recorder::default(), &tensors, &BTreeMap::new()).unwrap_err();
            assert!(error.to_string().starts_with(&format!("{}: another tensor", names[1])), "{error}");
        }
    }
}
