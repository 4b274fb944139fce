//! Which numbers are labels.

/// What labels may be: numbers of classes, or one number that stands for none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Labels {
    /// How many classes there are.
    pub classes: usize,
    /// The label of rows that do not count.
    pub ignore_index: Option<u32>,
}

impl Labels {
    /// Which input of an operation holds labels, where one does.
    pub const INPUT: usize = 1;

    /// Whether a label is one of these.
    pub fn allow(self, label: u32) -> bool {
        (label as usize) < self.classes || self.ignore_index == Some(label)
    }

    /// What two operations both allow.
    pub(crate) fn both(a: Option<Self>, b: Option<Self>) -> Option<Self> {
        let (Some(a), Some(b)) = (a, b) else { return a.or(b) };
        let ignore_index = a.ignore_index.filter(|label| b.allow(*label));
        let other = b.ignore_index.filter(|label| a.allow(*label));
        Some(Self { classes: a.classes.min(b.classes), ignore_index: ignore_index.or(other) })
    }

    /// Why a label is none of these.
    pub(crate) fn refusal(self, label: u32, at: usize) -> String {
        let signed = label as i32;
        let shown = if signed < 0 { format!("{label} ({signed})") } else { label.to_string() };
        let ignored = match self.ignore_index {
            Some(index) => format!("is neither {index}, the one to be ignored, nor"),
            None => "is not".to_owned(),
        };
        format!("the label {shown} at place {at} {ignored} below the {} classes", self.classes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_operations_allow_what_each_allows() {
        let labels = |classes, ignore_index| Some(Labels { classes, ignore_index });
        assert_eq!(Labels::both(None, labels(3, None)), labels(3, None));
        assert_eq!(Labels::both(labels(5, Some(9)), labels(3, Some(9))), labels(3, Some(9)));
        assert_eq!(Labels::both(labels(5, Some(9)), labels(3, None)), labels(3, None));
        // A class of one is what the other ignores.
        assert_eq!(Labels::both(labels(5, None), labels(3, Some(4))), labels(3, Some(4)));
    }

    #[test]
    fn a_negative_label_is_shown_as_it_was_meant() {
        let refusal = Labels { classes: 10, ignore_index: None }.refusal(-100i32 as u32, 3);
        assert_eq!(refusal, "the label 4294967196 (-100) at place 3 is not below the 10 classes");
    }
}
