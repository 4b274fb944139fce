//! Valid class labels.

/// The valid labels: the classes, and possibly one label to ignore.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Labels {
    /// Number of classes.
    pub classes: usize,
    /// The label of rows to ignore.
    pub ignore_index: Option<u32>,
}

impl Labels {
    /// Index of the labels among the inputs of operations that read labels.
    pub const INPUT: usize = 1;

    /// Whether a label is valid.
    pub fn allow(self, label: u32) -> bool {
        (label as usize) < self.classes || self.ignore_index == Some(label)
    }

    /// The labels that are valid for both.
    pub(crate) fn intersection(a: Option<Self>, b: Option<Self>) -> Option<Self> {
        let (Some(a), Some(b)) = (a, b) else { return a.or(b) };
        let ignore_index = a.ignore_index.filter(|label| b.allow(*label));
        let other = b.ignore_index.filter(|label| a.allow(*label));
        Some(Self { classes: a.classes.min(b.classes), ignore_index: ignore_index.or(other) })
    }

    /// The error message for an invalid label.
    pub(crate) fn describe_invalid(self, label: u32, at: usize) -> String {
        let signed = label as i32;
        let shown = if signed < 0 { format!("{label} ({signed})") } else { label.to_string() };
        let ignored = match self.ignore_index {
            Some(index) => format!("is neither ignore_index {index} nor"),
            None => "is not".to_owned(),
        };
        format!("label {shown} at index {at} {ignored} below {}, the number of classes", self.classes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_intersection_holds_labels_that_both_allow() {
        let labels = |classes, ignore_index| Some(Labels { classes, ignore_index });
        assert_eq!(Labels::intersection(None, labels(3, None)), labels(3, None));
        assert_eq!(Labels::intersection(labels(5, Some(9)), labels(3, Some(9))), labels(3, Some(9)));
        assert_eq!(Labels::intersection(labels(5, Some(9)), labels(3, None)), labels(3, None));
        // The ignored label of one is a class of the other.
        assert_eq!(Labels::intersection(labels(5, None), labels(3, Some(4))), labels(3, Some(4)));
    }

    #[test]
    fn negative_labels_are_shown_both_unsigned_and_signed() {
        let message = Labels { classes: 10, ignore_index: None }.describe_invalid(-100i32 as u32, 3);
        assert_eq!(message, "label 4294967196 (-100) at index 3 is not below 10, the number of classes");
    }
}
