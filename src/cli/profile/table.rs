//! The results as text.

use super::rows::Row;
use super::{Answer, Host};

pub fn text(answer: &Answer) -> String {
    let [batch, channels, height, width] = answer.input;
    let Answer { model, device, clock, peaks, steps, .. } = answer;
    let mut text = format!(
        "training step of {model}: {batch} images of {channels}x{height}x{width}\n\
         device      {device}\n\
         clock       {clock}\n\
         arithmetic  {:>8.1} GFLOP/s at most  {}\n\
         memory      {:>8.1} GB/s at most     {}\n\n",
        peaks.gflop_per_s, peaks.gflop_how, peaks.gb_per_s, peaks.gb_how
    );
    text += &table("layer", &answer.layers);
    text += "\n";
    text += &table("kernel", &answer.kernels);
    let host: Vec<String> =
        answer.host.iter().map(|Host { name, ms }| format!("{name} {ms:.2} ms")).collect();
    text += &format!(
        "\nlaunches {:.2} ms, of {:.2} ms from the start of the first to the end of the last; host: {}\n\
         medians of {steps} steps; bytes are the minimum traffic, so a kernel with operands in a cache can exceed 100 %;\n\
         peaks are measured with this engine's kernels\n",
        answer.launches_ms,
        answer.step_ms,
        host.join(", ")
    );
    text
}

fn table(first: &str, rows: &[Row]) -> String {
    let name = |row: &Row| match row.phase {
        "" => row.name.clone(),
        phase => format!("{} {phase}", row.name),
    };
    let width = rows.iter().map(|row| name(row).len()).max().unwrap_or(0).max(first.len());
    let mut text =
        format!("{first:width$}  launches         ms  share    GFLOP/s       GB/s  of peak  nearer to\n");
    for row in rows {
        let Row { launches, ms, gflop_per_s, gb_per_s, bound, .. } = row;
        let [share, of_peak] = [100.0 * row.share, 100.0 * row.of_peak];
        text += &format!(
            "{:width$}  {launches:8} {ms:10.3} {share:5.1}% {gflop_per_s:10.2} {gb_per_s:10.2} {of_peak:7.1}%  {bound}\n",
            name(row)
        );
    }
    text
}
