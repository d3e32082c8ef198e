//! Grids and plots.

use crate::moving_square;
use spinbot_media::RgbImage;
use spinbot_media::grid::Grid;
use spinbot_media::plot::Curves;

fn names(list: &[&str]) -> Vec<String> {
    list.iter().map(ToString::to_string).collect()
}

/// Pixels much darker than paper.
fn ink(picture: &RgbImage, from: (u32, u32), to: (u32, u32)) -> usize {
    let inside = |x: &u32, y: &u32| (from.0..to.0).contains(x) && (from.1..to.1).contains(y);
    picture.enumerate_pixels().filter(|(x, y, p)| inside(x, y) && p.0.iter().all(|c| *c < 140)).count()
}

#[test]
fn a_grid_shows_its_pictures_names_and_gaps() {
    let mut grid =
        Grid::new("a portrait in oil", names(&["0.2", "0.8"]), names(&["seed 1", "seed 2", "seed 3"]))
            .axes("strength", "seed")
            .cell_side(128);
    for column in 0..3 {
        grid.set(0, column, RgbImage::from_pixel(64, 64, [200, 40, 40].into())).unwrap();
    }
    grid.set(1, 0, RgbImage::from_pixel(300, 100, [40, 40, 200].into())).unwrap();
    grid.missing(1, 1, "cancelled").unwrap();
    let sheet = grid.render().unwrap();
    let (width, height) = sheet.dimensions();
    let count = |colour: [u8; 3]| sheet.pixels().filter(|p| p.0 == colour).count();
    assert_eq!(count([200, 40, 40]), 3 * 128 * 128);
    assert_eq!(count([40, 40, 200]), 128 * 43, "fitted, not stretched");
    assert!(count([226, 230, 234]) > 2000, "the two cells without a picture are striped");
    assert!(ink(&sheet, (0, 0), (width, height - 2 * 134)) > 300, "title, axes and names of columns");
    assert!(ink(&sheet, (0, height - 2 * 134), (width - 3 * 134 - 12, height)) > 50, "names of rows");

    assert!(grid.set(2, 0, RgbImage::new(8, 8)).is_err());
    assert!(grid.set(0, 3, RgbImage::new(8, 8)).is_err(), "no running over into the next row");
    assert!(grid.set(0, 0, RgbImage::new(0, 8)).is_err());
    assert!(Grid::new("", vec![], names(&["a"])).render().is_err());
    let many = vec![String::new(); 200];
    assert!(Grid::new("", many.clone(), many).render().is_err(), "refused before allocating");
}

#[test]
fn names_of_any_length_leave_the_cells_alone() {
    let long = "a very long prompt with many words that goes on and on ".repeat(20);
    let mut grid = Grid::new(long.clone(), names(&[&long, ""]), names(&[&long])).cell_side(96);
    grid.set(0, 0, RgbImage::from_pixel(96, 96, [1, 200, 1].into())).unwrap();
    let sheet = grid.render().unwrap();
    assert_eq!(sheet.pixels().filter(|p| p.0 == [1, 200, 1]).count(), 96 * 96);
    assert!(sheet.width() < 420);
    let bare = Grid::new("", names(&[""]), names(&[""])).cell_side(64).render().unwrap();
    assert_eq!(bare.dimensions(), (64 + 24, 64 + 24));
}

#[test]
fn a_plot_draws_what_it_is_given_and_survives_what_it_is_not() {
    let falling: Vec<_> =
        (0..50_000).map(|i| (f64::from(i), 2.0 * (-f64::from(i) / 8000.0).exp() + 0.02)).collect();
    let plot = Curves::new("loss").labels("step", "loss").series("train", falling.clone());
    let picture = plot.render().unwrap();
    assert_eq!(picture.dimensions(), (640, 320));
    let blue = picture.pixels().filter(|p| p.0[2] > 150 && p.0[0] < 60).count();
    assert!(blue > 500, "{blue} pixels of curve");
    assert!(plot.png().unwrap().len() < 60_000);

    let odd: [(&str, Vec<(f64, f64)>); 8] = [
        ("nothing", vec![]),
        ("one point", vec![(3.0, 4.0)]),
        ("all equal", vec![(0.0, 1.0), (1.0, 1.0), (2.0, 1.0)]),
        ("zeros", vec![(0.0, 0.0), (1.0, 0.0)]),
        ("not finite", vec![(0.0, f64::NAN), (f64::INFINITY, 1.0), (1.0, 2.0), (2.0, 3.0)]),
        ("huge", vec![(0.0, -1e300), (1.0, 1e300)]),
        ("widest", vec![(f64::MIN, f64::MIN), (f64::MAX, f64::MAX)]),
        ("tiny", vec![(0.0, 1e-300), (1.0, 2e-300)]),
    ];
    for (name, points) in odd {
        for log in [false, true] {
            let plot = Curves::new(name).log_y(log).series(name, points.clone()).series("other", vec![]);
            assert!(plot.size(1, 1).render().is_ok(), "{name}, log {log}");
        }
    }
}

#[test]
fn one_spike_among_fifty_thousand_points_is_seen() {
    let spiky: Vec<_> = (0..50_000).map(|i| (f64::from(i), if i == 31_234 { 10.0 } else { 1.0 })).collect();
    let picture = Curves::new("").series("x", spiky).render().unwrap();
    let blue = |from: u32, to: u32| {
        picture
            .enumerate_pixels()
            .filter(|(_, y, p)| (from..to).contains(y) && p.0[2] > 150 && p.0[0] < 60)
            .count()
    };
    assert!(blue(10, 100) > 50, "the spike reaches the upper third");
}

#[test]
fn a_sharp_corner_is_drawn_no_higher_than_it_is() {
    // Teeth between 0.4 and 0.6 on an axis from 0 to 1; nothing blue may lie near the upper edge.
    let mut teeth: Vec<_> =
        (0..900).map(|i| (f64::from(i), 0.4 + 0.2 * f64::from(i * 37 % 11) / 10.0)).collect();
    let frame = vec![(0.0, 0.0), (0.0, 1.0)];
    teeth[0].1 = 0.5;
    let picture = Curves::new("").series("teeth", teeth).series("frame", frame).render().unwrap();
    let blue = |p: &image::Rgb<u8>| p.0[2] > 120 && p.0[0] < 60;
    let rows: Vec<_> = picture
        .enumerate_pixels()
        .filter(|(x, _, p)| (80..500).contains(x) && blue(p))
        .map(|(_, y, _)| y)
        .collect();
    let (top, bottom) = (rows.iter().min().unwrap(), rows.iter().max().unwrap());
    assert!(bottom - top < 75, "rows {top} to {bottom} of 320 for a fifth of the axis");
}

#[test]
#[ignore = "writes pictures to look at into the folder SPINBOT_LOOK names"]
fn pictures_to_look_at() {
    let folder = std::path::PathBuf::from(std::env::var("SPINBOT_LOOK").unwrap());
    let mut grid = Grid::new(
        "a watercolour portrait of ada, soft light, looking at the viewer, steps 20",
        names(&["0.2", "0.5", "0.8", "a negative prompt of several words"]),
        names(&["seed 1", "seed 2", "guidance 7.5, seed 3", "seed 4"]),
    )
    .axes("strength", "seed")
    .cell_side(192);
    for i in 0..14u32 {
        grid.set(i as usize / 4, i as usize % 4, moving_square(i * 4, 256, if i == 5 { 160 } else { 256 }))
            .unwrap();
    }
    grid.missing(3, 2, "failed: out of memory at 1024x1024").unwrap();
    grid.render().unwrap().save(folder.join("grid.png")).unwrap();
    let noisy = |i: u32| (f64::from(i * 7919 % 1000) / 1000.0 - 0.5) * 0.08;
    let curve = |scale: f64, floor: f64| {
        (0..3000)
            .map(|i| (f64::from(i), scale * (-f64::from(i) / 600.0).exp() + floor + floor * 4.0 * noisy(i)))
            .collect::<Vec<_>>()
    };
    let plot = Curves::new("train ada: rank 8, 3000 steps")
        .labels("step", "loss")
        .series("loss", curve(0.6, 0.09))
        .series("validation", curve(0.5, 0.15))
        .series("learning rate", (0..3000).map(|i| (f64::from(i), 0.3 - f64::from(i) * 1e-4)).collect());
    std::fs::write(folder.join("plot.png"), plot.png().unwrap()).unwrap();
    std::fs::write(folder.join("plot_log.png"), plot.log_y(true).png().unwrap()).unwrap();
    let one = Curves::new("loss")
        .labels("step", "")
        .series("loss", vec![(0.0, 0.5), (1.0, 0.3), (2.0, 0.32), (3.0, 0.2)]);
    std::fs::write(folder.join("plot_one.png"), one.png().unwrap()).unwrap();
    let voice = crate::reading();
    let spectrograms =
        spinbot_media::spectrogram::png(&[("original", &voice), ("clone", &voice.fitted(60_000))]);
    std::fs::write(folder.join("spectrograms.png"), spectrograms.unwrap()).unwrap();
    let words =
        [("in", 0.4, 0.5), ("those", 0.5, 0.9), ("very", 0.9, 1.1), ("old", 1.1, 1.4), ("days", 1.4, 2.0)];
    let waveform = spinbot_media::waveform::png(&voice, &words).unwrap();
    std::fs::write(folder.join("waveform.png"), waveform).unwrap();
}
