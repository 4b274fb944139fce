//! Operations on colors, exactly as in Pillow.

/// Replaces each byte.
pub fn map_bytes(image: &mut [u8], new: impl Fn(u8) -> u8) {
    let table: [u8; 256] = std::array::from_fn(|byte| new(byte as u8));
    image.iter_mut().for_each(|byte| *byte = table[usize::from(*byte)]);
}

/// `from + factor * (to - from)`, rounded down and clipped.
fn blend(from: u8, to: u8, factor: f32) -> u8 {
    // Casts from float to integer truncate and saturate.
    (f32::from(from) + factor * (f32::from(to) - f32::from(from))) as u8
}

/// Blends with a single gray.
pub fn blend_with(image: &mut [u8], gray: u8, factor: f64) {
    map_bytes(image, |byte| blend(gray, byte, factor as f32));
}

/// The luma of an RGB pixel with Pillow's 16-bit weights.
fn luma([red, green, blue]: [u8; 3]) -> u8 {
    let [red, green, blue] = [red, green, blue].map(u32::from);
    ((19595 * red + 38470 * green + 7471 * blue + 0x8000) >> 16) as u8
}

/// The three planes of an RGB image; `None` for other numbers of channels.
fn rgb(image: &mut [u8], [channels, height, width]: [usize; 3]) -> Option<[&mut [u8]; 3]> {
    let (red, rest) = image.split_at_mut_checked(height * width).filter(|_| channels == 3)?;
    let (green, blue) = rest.split_at_mut(height * width);
    Some([red, green, blue])
}

/// Replaces each pixel of an RGB image; others stay as they are.
fn map_pixels(image: &mut [u8], shape: [usize; 3], new: impl Fn([u8; 3]) -> [u8; 3]) {
    let Some([red, green, blue]) = rgb(image, shape) else { return };
    for ((red, green), blue) in red.iter_mut().zip(green).zip(blue) {
        [*red, *green, *blue] = new([*red, *green, *blue]);
    }
}

/// Blends with the image's mean gray.
pub fn contrast(image: &mut [u8], shape: [usize; 3], factor: f64) {
    let pixels = shape[1] * shape[2];
    let sum: u64 = match rgb(image, shape) {
        Some([red, green, blue]) => {
            let pixels = red.iter().zip(green.iter()).zip(blue.iter());
            pixels.map(|((&red, &green), &blue)| u64::from(luma([red, green, blue]))).sum()
        }
        None => image[..pixels].iter().map(|&byte| u64::from(byte)).sum(),
    };
    blend_with(image, (sum as f64 / pixels as f64 + 0.5) as u8, factor);
}

/// Blends with the image in gray.
pub fn saturation(image: &mut [u8], shape: [usize; 3], factor: f64) {
    let factor = factor as f32;
    map_pixels(image, shape, |pixel| {
        let gray = luma(pixel);
        pixel.map(|byte| blend(gray, byte, factor))
    });
}

/// Shifts the hue, with eight bits per component of HSV.
pub fn hue(image: &mut [u8], shape: [usize; 3], by: f64) {
    let steps = (by * 255.0) as i32 as u8;
    map_pixels(image, shape, |pixel| {
        let [hue, saturation, value] = to_hsv(pixel);
        from_hsv([hue.wrapping_add(steps), saturation, value])
    });
}

// The mix of f32 and f64 is Pillow's; other precisions round some bytes differently.
fn to_hsv([red, green, blue]: [u8; 3]) -> [u8; 3] {
    let most = red.max(green).max(blue);
    let least = red.min(green).min(blue);
    if most == least {
        return [0, 0, most];
    }
    let range = f32::from(most - least);
    let [r, g, b] = [red, green, blue].map(|byte| f32::from(most - byte) / range);
    let sixths = if red == most {
        b - g
    } else if green == most {
        (2.0 + f64::from(r) - f64::from(b)) as f32
    } else {
        (4.0 + f64::from(g) - f64::from(r)) as f32
    };
    let hue = ((f64::from(sixths) / 6.0 + 1.0) % 1.0) as f32;
    let saturation = range / f32::from(most);
    [(f64::from(hue) * 255.0) as u8, (f64::from(saturation) * 255.0) as u8, most]
}

fn from_hsv([hue, saturation, value]: [u8; 3]) -> [u8; 3] {
    if saturation == 0 {
        return [value; 3];
    }
    let sixths = f64::from(hue) * 6.0 / 255.0;
    let whole = sixths.floor();
    let fraction = (sixths - whole) as f32;
    let saturation = (f64::from(saturation) / 255.0) as f32;
    let part = |less: f64| (f64::from(value) * (1.0 - less)).round() as u8;
    let p = part(f64::from(saturation));
    let q = part(f64::from(saturation * fraction));
    let t = part(f64::from(saturation) * (1.0 - f64::from(fraction)));
    match whole as u8 % 6 {
        0 => [value, t, p],
        1 => [q, value, p],
        2 => [p, value, t],
        3 => [p, q, value],
        4 => [t, p, value],
        _ => [value, p, q],
    }
}

/// Blends with the smoothed image. The smoothing filter has weights of 5 in the middle and 1 around it; pixels at the edge stay.
pub fn sharpness(image: &mut [u8], [_, height, width]: [usize; 3], factor: f64) {
    if height < 3 || width < 3 {
        return;
    }
    for plane in image.chunks_exact_mut(height * width) {
        let from = plane.to_vec();
        for y in 1..height - 1 {
            let rows = [y - 1, y, y + 1].map(|y| &from[y * width..][..width]);
            let output = &mut plane[y * width + 1..][..width - 2];
            for (x, output) in output.iter_mut().enumerate() {
                let sum: u32 = rows.iter().flat_map(|row| &row[x..x + 3]).map(|&byte| u32::from(byte)).sum();
                let middle = rows[1][x + 1];
                let smooth = (2 * (sum + 4 * u32::from(middle)) + 13) / 26;
                *output = blend(smooth as u8, middle, factor as f32);
            }
        }
    }
}

fn histogram(plane: &[u8]) -> [usize; 256] {
    let mut counts = [0; 256];
    plane.iter().for_each(|&byte| counts[usize::from(byte)] += 1);
    counts
}

/// Stretches each channel to the full range.
pub fn auto_contrast(image: &mut [u8], [_, height, width]: [usize; 3]) {
    for plane in image.chunks_exact_mut(height * width) {
        let (least, most) =
            plane.iter().fold((255, 0), |(least, most), &byte| (byte.min(least), byte.max(most)));
        if most > least {
            let scale = 255.0 / f64::from(most - least);
            let offset = -f64::from(least) * scale;
            map_bytes(plane, |byte| (f64::from(byte) * scale + offset) as u8);
        }
    }
}

/// Makes the histogram of each channel uniform.
pub fn equalize(image: &mut [u8], [_, height, width]: [usize; 3]) {
    for plane in image.chunks_exact_mut(height * width) {
        let counts = histogram(plane);
        let last = counts.iter().rev().find(|count| **count > 0).copied().unwrap_or(0);
        let step = (plane.len() - last) / 255;
        if step == 0 {
            continue;
        }
        let mut below = step / 2;
        let table = counts.map(|count| {
            let level = (below / step).min(255) as u8;
            below += count;
            level
        });
        map_bytes(plane, |byte| table[usize::from(byte)]);
    }
}
