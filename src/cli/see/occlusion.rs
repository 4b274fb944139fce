//! `striate see occlusion`: where a network looks, by covering it.

use super::flags::{LensFlags, OutFlags, PictureFlags, label};
use striate::Result;
use striate::see::canvas::{self, Scale, Tile};
use striate::see::{Album, Fill, Occlusion, Pictures, Record};

#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    lens: LensFlags,
    #[command(flatten)]
    pictures: PictureFlags,
    /// Side of the patch in pixels [default: a quarter of the picture]
    #[arg(long, value_name = "PIXELS")]
    patch: Option<usize>,
    /// Pixels from one place of the patch to the next [default: a quarter of the patch]
    #[arg(long, value_name = "PIXELS")]
    stride: Option<usize>,
    /// What the patch covers with
    #[arg(long, value_enum, default_value = "grey")]
    fill: FillFlag,
    /// Number of the class [default: the likeliest of each picture]
    #[arg(long, value_name = "CLASS")]
    class: Option<usize>,
    #[command(flatten)]
    out: OutFlags,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum FillFlag {
    Grey,
    Mean,
    Blur,
}

/// Pixels that a picture is about enlarged to.
const SIDE: usize = 224;

pub fn run(args: &Args) -> Result<(Record, Pictures)> {
    let (subject, pictures) = args.lens.open_with(&args.pictures)?;
    let lens = &subject.lens;
    let [_, height, width] = lens.image_shape();
    let patch = args.patch.unwrap_or((height.min(width) / 4).max(1));
    let stride = args.stride.unwrap_or((patch / 4).max(1));
    let (fill, with) = match args.fill {
        FillFlag::Grey => (Fill::Grey, "middle grey"),
        FillFlag::Mean => (Fill::Mean, "the picture's mean colour"),
        FillFlag::Blur => (Fill::Blur, "the picture itself, blurred"),
    };
    let occlusion = Occlusion { patch, stride, fill };
    let mut classifier = lens.classifier()?;
    let mut album =
        Album::new(&args.out.out, "occlusion", format!("Where {} looks: occlusion", lens.model()))?;
    for (number, name) in pictures.names.iter().enumerate() {
        let map = occlusion.map(lens, &mut classifier, pictures.image(number), args.class)?;
        let class = subject.class(map.class);
        let numbers = map.probabilities.as_f32();
        let scale = Scale::of(numbers);
        let times = canvas::times_to(width, SIDE);
        let photo = canvas::photo(pictures.image(number), &lens.preprocessing().normalization, width);
        let photo = canvas::enlarge(&photo, times);
        let heat = scale.draw(numbers, occlusion.cells([height, width])[1]);
        let heat = canvas::cover(&heat, stride as u32 * times, &photo);
        let laid_over = canvas::overlay(&photo, &heat, 0.6);
        let percent = 100.0 * map.uncovered;
        let tiles = [
            Tile::new(photo, label(name)),
            Tile::new(heat, scale.describe()),
            Tile::new(laid_over, "overlaid"),
        ];
        let title = format!("{class}: {percent:.1} % uncovered; {patch}-pixel patch every {stride}");
        album.png(
            &format!("occlusion-{number}.png"),
            format!("{name}: {class}"),
            &canvas::grid(&title, &tiles, 3),
        )?;
        let about = format!(
            "{name}: probability of {class} with the patch on each cell; {:.6} uncovered",
            map.uncovered
        );
        album.npy(&format!("occlusion-{number}.npy"), about, &map.probabilities)?;
    }
    let caption = format!(
        "A patch of {patch} x {patch} pixels covers each picture with {with}, on the middle of every cell of {stride} x {stride}; a cell's colour is how likely the class then is. Dark is where covering makes it unlikely: what it is told by. One scale for each picture, over it. ({} places each, {} at a time.)",
        occlusion.cells([height, width]).iter().product::<usize>(),
        lens.batch()
    );
    Ok((album.finish(caption)?, pictures))
}
