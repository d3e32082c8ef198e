//! Words burned into the frames of a real photo: where they stand, and that nothing else changes.

use crate::chain::{Chain, fixture};
use spinbot_media::{RgbImage, mp4, video};
use spinbot_studio::Landmarks;

fn frames(chain: &Chain) -> Vec<RgbImage> {
    video::decode(&mp4::read_video(&chain.bytes("video")).unwrap()).unwrap()
}

#[test]
fn the_words_stand_below_the_chin_while_they_are_said() {
    let chain = Chain::new("subtitles");
    let timing = fixture("spoken/boat.timing.json");
    chain.render_timed(fixture("portraits/astronaut.png"), fixture("spoken/boat.flac"), timing.clone(), 512);
    let plain = frames(&chain);
    chain.subtitle(timing);
    let subtitled = frames(&chain);
    assert_eq!(plain.len(), subtitled.len());
    let landmarks: Landmarks = serde_json::from_slice(&chain.bytes("landmarks")).unwrap();
    let chin = landmarks.points[8][1] as usize;
    // Said from 0.28 s to 4.18 s.
    for (at, shown) in [(0, false), (50, true), (100, true)] {
        let changed = |row: usize| {
            let of = |frame: &RgbImage| frame.as_raw()[row * 512 * 3..][..512 * 3].to_vec();
            let (one, other) = (of(&plain[at]), of(&subtitled[at]));
            one.iter().zip(other).filter(|(a, b)| a.abs_diff(*b) > 40).count()
        };
        let below = (chin..512).map(changed).sum::<usize>();
        assert_eq!(below > 3000, shown, "frame {at}: {below} values changed below the chin");
        // Coding spreads what is drawn by a few rows.
        let above = (0..chin - 8).map(changed).sum::<usize>();
        assert!(above < 20, "frame {at}: {above} values changed above the chin");
    }
}
