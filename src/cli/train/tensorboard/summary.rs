//! Values for TensorBoard's pages.

use super::proto::{
    Dim, HistogramProto, Image, PluginData, SummaryMetadata, SummaryValue, TensorProto, TensorShapeProto,
};
use image::{ImageFormat, RgbImage};
use std::io::Cursor;
use striate::interpret::drawing::min_max;

/// Buckets of a histogram, as in TensorBoard's own.
const BUCKETS: usize = 30;

fn named(tag: impl Into<String>) -> SummaryValue {
    SummaryValue { tag: tag.into(), ..Default::default() }
}

/// A point of a curve.
pub fn scalar(tag: &str, value: f64) -> SummaryValue {
    SummaryValue { simple_value: Some(value as f32), ..named(tag) }
}

/// A text in Markdown.
pub fn text(tag: &str, text: &str) -> SummaryValue {
    let plugin_data = Some(PluginData { plugin_name: "text".to_owned() });
    let tensor = TensorProto {
        dtype: TensorProto::STRING,
        tensor_shape: Some(TensorShapeProto { dim: vec![Dim { size: 1 }] }),
        string_val: vec![text.as_bytes().to_vec()],
    };
    SummaryValue { tensor: Some(tensor), metadata: Some(SummaryMetadata { plugin_data }), ..named(tag) }
}

pub fn image(tag: impl Into<String>, image: &RgbImage) -> SummaryValue {
    let mut png = Cursor::new(Vec::new());
    image.write_to(&mut png, ImageFormat::Png).expect("PNG can encode any RGB image in memory");
    let (height, width) = (image.height() as i32, image.width() as i32);
    let image = Image { height, width, colorspace: 3, encoded_image_string: png.into_inner() };
    SummaryValue { image: Some(image), ..named(tag) }
}

/// The distribution of values, in buckets of equal width.
pub fn histogram(tag: impl Into<String>, values: &[f32]) -> SummaryValue {
    let [mut min, mut max] = min_max(values).map(f64::from);
    if min == max {
        // As TensorBoard's own summaries do: a bucket needs a width.
        (min, max) = (min - 0.5, max + 0.5);
    }
    let width = (max - min) / BUCKETS as f64;
    let mut bucket = vec![0.0; BUCKETS];
    let (mut sum, mut sum_squares) = (0.0, 0.0);
    for value in values.iter().copied().map(f64::from) {
        bucket[(((value - min) / width) as usize).min(BUCKETS - 1)] += 1.0;
        sum += value;
        sum_squares += value * value;
    }
    let bucket_limit = (1..=BUCKETS).map(|end| min + end as f64 * width).collect();
    let histo = HistogramProto { min, max, num: values.len() as f64, sum, sum_squares, bucket_limit, bucket };
    SummaryValue { histo: Some(histo), ..named(tag) }
}

#[cfg(test)]
mod tests {
    use super::histogram;

    #[test]
    fn buckets_count_every_value_once() {
        for values in [&[0.0, 1.0, 30.0, 15.0, 15.5][..], &[2.0; 3], &[-1.0]] {
            let histo = histogram("w", values).histo.unwrap();
            assert_eq!(histo.bucket.iter().sum::<f64>(), values.len() as f64);
            assert!(histo.bucket_limit.is_sorted() && histo.min < histo.max);
        }
        let histo = histogram("w", &[0.0, 1.0, 30.0, 15.0, 15.5]).histo.unwrap();
        let full: Vec<usize> = (0..30).filter(|at| histo.bucket[*at] > 0.0).collect();
        assert_eq!((full, histo.bucket[15]), (vec![0, 1, 15, 29], 2.0));
        assert_eq!((histo.num, histo.sum, histo.sum_squares), (5.0, 61.5, 1.0 + 900.0 + 225.0 + 240.25));
    }
}
