//! The pages in headless Chromium: nothing is loaded, tabs work, sections are linked.

use super::browser::{self, Browser};
use super::common::{Named, Outcome, named};
use super::workspace::*;
use super::{SEE, trained, two_runs, unit_tabs, written};

pub const TESTS: &Named<fn(&Browser) -> Outcome> = named![
    a_browser_shows_the_page,
    sections_of_a_page_are_linked,
    the_map_follows_and_sets_the_selection,
    many_images_are_points_on_the_map_until_they_are_near,
    a_browser_shows_a_run,
    a_browser_shows_a_comparison,
];

fn a_browser_shows_a_comparison(browser: &Browser) -> Outcome {
    let dir = two_runs();
    let page = written(&dir, &["report", "run", "other"], "compare.html");
    for width in [390, 1280] {
        let seen = browser.inspect(&page, width, "");
        assert!(seen["problems"].as_array().unwrap().is_empty(), "at {width} pixels: {}", seen["problems"]);
        assert_eq!(seen["images"], 5, "{seen}");
    }
    Ok(())
}

fn a_browser_shows_the_page(browser: &Browser) -> Outcome {
    let dir = trained();
    let page = written(&dir, &SEE, "report/index.html");
    for width in [390, 1280] {
        let seen = browser.inspect(&page, width, browser::PICK_UNITS);
        let problems = seen["problems"].as_array().unwrap();
        assert!(problems.is_empty(), "at {width} pixels: {problems:?}");
        assert!(seen["images"].as_u64().unwrap() > 100, "{seen}");
        let shown: Vec<&str> =
            seen["shown"].as_array().unwrap().iter().map(|s| s.as_str().unwrap()).collect();
        let (first, layer2) = (&unit_tabs(&page, "relu")[0], unit_tabs(&page, "layer2"));
        // Initially; after clicks on a layer and a channel; the next and the first channel by keyboard; a click on an image.
        let expected = [
            format!("{first} image-0"),
            format!("{} image-0", layer2[0]),
            format!("{} image-0", layer2[1]),
            format!("{} image-0", layer2[2]),
            format!("{} image-0", layer2[0]),
            format!("{} image-2", layer2[0]),
        ];
        assert_eq!(shown, expected, "at {width} pixels");
    }
    let white = browser.white_in_dark_mode(&page, 1280);
    assert!(white < 0.05, "{white} of a dark page is white");
    Ok(())
}

fn sections_of_a_page_are_linked(browser: &Browser) -> Outcome {
    let dir = trained();
    let page = written(&dir, &SEE, "report/index.html");
    let seen = browser.inspect(&page, 1280, browser::FOLLOW_LINKS);
    assert!(seen["problems"].as_array().unwrap().is_empty(), "{}", seen["problems"]);
    let expected =
        serde_json::json!(["true true true", true, true, "true", true, true, 0, 1, 1, true, true, 1, 0]);
    assert_eq!(seen["shown"].as_array().unwrap()[1..], expected.as_array().unwrap()[..]);
    Ok(())
}

/// What `USE_MAP` sees. Numbers are the distance of two images, in its multiples.
const MAP_USED: [&str; 24] = [
    "all: 40 of 40 images.",
    "image: true",
    "selected: true",
    "its cell: 1",
    "hover: true",
    "class: true",
    "of the class: 4 of 40 images: class 0.",
    "mistakes: true",
    "unit: true",
    "framed: 40 of 40 images. Framed: those that excite CHANNEL of layer2 most.",
    "a class instead: 4 of 40 images: class 0.",
    "search: 1 of 40 images: “mnist 23” in the class, the answer or the name.",
    "by name: true",
    "again: 40 of 40 images.",
    "in view: true",
    "button: 1.50",
    "key: 1.50",
    "wheel with focus: 2.00",
    "wheel without focus: 1.00",
    "touchpad: 3.00",
    "fingers: 2.00",
    "moved by: -30",
    "drag: 1.50",
    "keyboard: true",
];

fn the_map_follows_and_sets_the_selection(browser: &Browser) -> Outcome {
    let dir = trained();
    let page = written(&dir, &SEE, "report/index.html");
    for width in [390, 1280] {
        let seen = browser.inspect(&page, width, browser::USE_MAP);
        assert!(seen["problems"].as_array().unwrap().is_empty(), "at {width} pixels: {}", seen["problems"]);
        let shown: Vec<&str> =
            seen["shown"].as_array().unwrap()[1..].iter().map(|s| s.as_str().unwrap()).collect();
        assert_eq!(shown, MAP_USED, "at {width} pixels");
    }
    Ok(())
}

/// Draws points, and tells which colors are at the places of images, from afar and from near.
const POINTS: &str = r##"
  const canvas = document.querySelector("#map canvas");
  const at = (drawn, x, y) => [...drawn.getContext("2d").getImageData(x, y, 1, 1).data];
  const drawn = Object.assign(document.createElement("canvas"), { width: 16, height: 16 });
  const dots = new Dots();
  dots.start(16, 3);
  dots.dot(8, 8, [200, 100, 0], 1);
  dots.dot(8, 8, [0, 0, 0], .5);
  dots.dot(0, 15, [0, 0, 255], .5);
  dots.show(drawn.getContext("2d"));
  for (const [x, y] of [[8, 8], [8, 12], [0, 15]]) shown.push(at(drawn, x, y).join(" "));
  const classes = [...document.querySelectorAll("#map .legend i")].map(swatch => channelsOf(getComputedStyle(swatch).backgroundColor).join(" "));
  // Edges of points cover others.
  const most = (pixels, test) => pixels.filter(test).length > pixels.length / 2;
  const kinds = () => {
    imageMap.paint();
    const pixels = Array.from({ length: 200 }, (_, image) => imageMap.place(image)).filter(place => place.every(side => side > 0 && side < canvas.clientWidth))
      .map(([x, y]) => at(canvas, ...[x, y].map(side => side * canvas.width / canvas.clientWidth)).slice(0, 3));
    return [most(pixels, pixel => classes.includes(pixel.join(" "))), most(pixels, ([red, green, blue]) => red === green && green === blue)].join(" ");
  };
  shown.push(kinds());
  for (let zooms = 0; zooms < 4; zooms++) document.querySelector("#map [data-map=in]").click();
  shown.push(kinds());
"##;

fn many_images_are_points_on_the_map_until_they_are_near(browser: &Browser) -> Outcome {
    let dir = Workspace::with_images(20, 200, 8);
    dir.trained(&["--epochs", "1"]);
    let page = written(&dir, &SEE, "report/index.html");
    let seen = browser.inspect(&page, 390, POINTS);
    assert!(seen["problems"].as_array().unwrap().is_empty(), "{}", seen["problems"]);
    let expected = ["100 50 0 255", "0 0 0 0", "0 0 255 128", "true false", "false true"].map(Value::from);
    assert_eq!(seen["shown"].as_array().unwrap()[1..], expected);
    Ok(())
}

fn a_browser_shows_a_run(browser: &Browser) -> Outcome {
    let dir = trained();
    let page = written(&dir, &["report", "run"], "run/report.html");
    for width in [390, 1280] {
        let seen = browser.inspect(&page, width, "");
        assert!(seen["problems"].as_array().unwrap().is_empty(), "at {width} pixels: {}", seen["problems"]);
        assert!(seen["images"].as_u64().unwrap() > 2, "{seen}");
        let colors = browser.colors(&page, width);
        assert!(colors > 20, "at {width} pixels there are {colors} colors");
    }
    let white = browser.white_in_dark_mode(&page, 1280);
    assert!(white < 0.05, "{white} of a dark page is white");
    Ok(())
}
