//! Results of the networks, and conclusions from them.

use std::fmt::Write;

/// Networks with or without shortcuts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    Plain,
    /// With shortcuts of option A, which have no parameters.
    Residual,
}

impl Family {
    /// The network's name for [`striate::models::by_name`].
    pub fn name(self, depth: usize) -> String {
        match self {
            Self::Plain => format!("plain{depth}"),
            Self::Residual => format!("resnet{depth}-a"),
        }
    }
}

/// Errors of an epoch, in percent: on the training images while the weights changed, and on the test images at the end.
#[derive(Clone, Copy, Debug)]
pub struct Epoch {
    pub train_error: f64,
    pub test_error: f64,
}

/// A trained network and its errors.
#[derive(Clone, Debug)]
pub struct Net {
    pub family: Family,
    pub depth: usize,
    pub parameters: usize,
    /// Training and test images.
    pub images: [usize; 2],
    pub epochs: Vec<Epoch>,
    /// Whether training has finished.
    pub finished: bool,
    pub seconds: f64,
}

impl Net {
    pub fn name(&self) -> String {
        self.family.name(self.depth)
    }

    /// Errors of the last epoch, if training has finished.
    fn end(&self) -> Option<Epoch> {
        self.epochs.last().copied().filter(|_| self.finished)
    }
}

/// How much worse a deeper network is than a shallower one, in percentage points.
#[derive(Clone, Copy)]
struct Gap {
    points: f64,
    /// Three standard errors of the difference between two independent error rates.
    chance: f64,
}

impl Gap {
    fn new(deep: f64, shallow: f64, images: usize) -> Self {
        let variance = |percent: f64| percent * (100.0 - percent) / images as f64;
        Self { points: deep - shallow, chance: 3.0 * (variance(deep) + variance(shallow)).sqrt() }
    }

    fn is_worse(self) -> bool {
        self.points > self.chance
    }

    /// `3.1 points above`
    fn words(self) -> String {
        let side = if self.points < 0.0 { "below" } else { "above" };
        format!("{:.1} points {side}", self.points.abs())
    }
}

/// The deepest network of a family and the best shallower one.
struct Pair<'a> {
    deep: &'a Net,
    shallow: &'a Net,
    train: Gap,
    test: Gap,
}

impl<'a> Pair<'a> {
    /// The pair among the finished networks.
    fn of(nets: &'a [Net], family: Family) -> Option<Self> {
        let ends =
            || nets.iter().filter(|net| net.family == family).filter_map(|net| Some((net, net.end()?)));
        let (deep, of_deep) = ends().max_by_key(|(net, _)| net.depth)?;
        let shallower = ends().filter(|(net, _)| net.depth < deep.depth);
        let (shallow, of_shallow) =
            shallower.min_by(|(_, a), (_, b)| a.train_error.total_cmp(&b.train_error))?;
        let [train, test] = deep.images;
        let train = Gap::new(of_deep.train_error, of_shallow.train_error, train);
        let test = Gap::new(of_deep.test_error, of_shallow.test_error, test);
        Some(Self { deep, shallow, train, test })
    }

    fn words(&self) -> String {
        let [deep, shallow] = [self.deep, self.shallow].map(Net::name);
        format!(
            "{deep}'s training error is {} {shallow}'s, its test error {}.",
            self.train.words(),
            self.test.words()
        )
    }
}

/// The conclusion in words: the deepest plain network compared with the best shallower one, the same for residual networks, and
/// what follows.
pub fn words(nets: &[Net]) -> String {
    let Some(plain) = Pair::of(nets, Family::Plain) else {
        return "There is no result until two plain networks of different depths are trained.".into();
    };
    match Pair::of(nets, Family::Residual).filter(|residual| residual.deep.depth == plain.deep.depth) {
        Some(residual) => {
            format!("{} {} {}", plain.words(), residual.words(), conclusion(&plain, &residual))
        }
        None => format!("{} Its residual twin is not trained yet.", plain.words()),
    }
}

fn conclusion(plain: &Pair, residual: &Pair) -> &'static str {
    match (plain.train.is_worse(), residual.train.is_worse()) {
        (true, false) => {
            "The deeper plain network does worse on the very images it was trained on, so this is not overfitting but a \
             difficulty of optimization. Shortcuts, which have no parameters, remove it."
        }
        (true, true) if residual.train.points < plain.train.points - plain.train.chance => {
            "The deeper plain network does worse on the very images it was trained on, so this is not overfitting but a \
             difficulty of optimization. Shortcuts, which have no parameters, reduce it, but do not remove it here."
        }
        (true, true) => {
            "Both deeper networks do worse on the very images they were trained on, which is a difficulty of \
             optimization. These results do not show that shortcuts help."
        }
        (false, _) if plain.test.is_worse() => {
            "The deeper plain network does worse only on the test images: this is overfitting, not degradation."
        }
        (false, _) => {
            "The deeper plain network is not significantly worse: these results do not show degradation."
        }
    }
}

/// The final errors and the conclusion, as Markdown.
pub fn report(nets: &[Net]) -> String {
    let mut text = "| network | parameters | training error | test error | minutes |\n".to_owned();
    text += "| --- | --- | --- | --- | --- |\n";
    for net in nets {
        let errors = net.end().map_or("not finished | ".into(), |end| {
            format!("{:.1} % | {:.1} %", end.train_error, end.test_error)
        });
        let _ =
            writeln!(text, "| {} | {} | {errors} | {:.1} |", net.name(), net.parameters, net.seconds / 60.0);
    }
    text + "\n"
        + &words(nets)
        + "\n\nThere was one seed per network; differences of up to three standard errors may be chance.\n"
}

/// A row for each epoch of each network, errors in percent.
pub fn csv(nets: &[Net]) -> String {
    let mut text = "network,depth,parameters,epoch,train_error,test_error\n".to_owned();
    for net in nets {
        for (i, e) in net.epochs.iter().enumerate() {
            let (name, epoch) = (net.name(), i + 1);
            let Net { depth, parameters, .. } = net;
            let _ = writeln!(
                text,
                "{name},{depth},{parameters},{epoch},{:.3},{:.3}",
                e.train_error, e.test_error
            );
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn net(family: Family, depth: usize, [train_error, test_error]: [f64; 2]) -> Net {
        let epochs = vec![Epoch { train_error, test_error }];
        Net { family, depth, parameters: 1000, images: [5000, 1000], epochs, finished: true, seconds: 1.0 }
    }

    /// Networks with the given errors of plain20, plain56, resnet20-a and resnet56-a, and a plain8 with larger errors.
    fn nets(errors: [[f64; 2]; 4]) -> Vec<Net> {
        let [a, b, c, d] = errors;
        let (plain, residual) = (Family::Plain, Family::Residual);
        let (first, second) = (net(plain, 8, [60.0, 60.0]), net(plain, 20, a));
        vec![first, second, net(plain, 56, b), net(residual, 20, c), net(residual, 56, d)]
    }

    #[test]
    fn conclusions_follow_from_the_numbers() {
        let plain20 = [10.0, 12.0];
        for ([plain56, resnet56], says) in [
            ([[25.0, 26.0], [9.0, 11.0]], "remove it."),
            ([[25.0, 26.0], [13.0, 14.0]], "reduce it"),
            ([[25.0, 26.0], [25.0, 26.0]], "do not show that shortcuts help"),
            ([[10.5, 18.0], [10.0, 12.0]], "this is overfitting, not degradation"),
            ([[9.0, 11.0], [9.0, 11.0]], "do not show degradation"),
        ] {
            let words = words(&nets([plain20, plain56, plain20, resnet56]));
            assert!(words.contains(says), "{plain56:?} {resnet56:?}: {words}");
        }
    }

    #[test]
    fn words_name_the_networks_and_the_points_between_them() {
        let words = words(&nets([[10.0, 12.0], [25.5, 26.0], [9.0, 11.0], [8.5, 11.0]]));
        assert!(words.starts_with(
            "plain56's training error is 15.5 points above plain20's, its test error 14.0 points above."
        ));
        assert!(words.contains("resnet56-a's training error is 0.5 points below resnet20-a's"), "{words}");
    }

    #[test]
    fn unfinished_networks_are_not_compared() {
        let mut nets = nets([[10.0, 12.0], [25.0, 26.0], [9.0, 11.0], [8.5, 11.0]]);
        nets[4].finished = false;
        assert!(words(&nets).ends_with("Its residual twin is not trained yet."));
        assert!(report(&nets).contains("| resnet56-a | 1000 | not finished"));
        assert!(words(&nets[..1]).starts_with("There is no result"));
        assert!(words(&[]).starts_with("There is no result"));
    }

    #[test]
    fn the_table_has_a_row_for_each_epoch() {
        let nets = [net(Family::Residual, 20, [10.0, 12.5])];
        assert_eq!(csv(&nets).lines().nth(1), Some("resnet20-a,20,1000,1,10.000,12.500"));
    }
}
