//! Video and the file around it.

use crate::{moving_square, psnr, tone};
use spinbot_media::audio::{self, Clip};
use spinbot_media::mp4::{self, Tags};
use spinbot_media::video::{self, Encoder, VideoSettings, VideoTrack};
use spinbot_media::{RgbImage, picture};

fn film(frames: u32, settings: VideoSettings) -> (Vec<RgbImage>, VideoTrack) {
    let pictures: Vec<_> = (0..frames).map(|i| moving_square(i, settings.width, settings.height)).collect();
    let mut encoder = Encoder::new(settings).unwrap();
    for picture in &pictures {
        encoder.push(picture).unwrap();
    }
    assert_eq!(encoder.frames(), frames as usize);
    (pictures, encoder.finish().unwrap())
}

#[test]
fn a_film_comes_back_frame_by_frame_and_bit_by_bit() {
    let settings = VideoSettings { width: 256, height: 192, ..Default::default() };
    let (pictures, track) = film(120, settings);
    let speech = tone(220.0, 4.8, 24_000);
    let file = mp4::write(&track, Some(&speech), &Tags::default()).unwrap();

    let read = mp4::read_video(&file).unwrap();
    assert_eq!(read, track, "the coded pictures are untouched");
    assert_eq!((read.frames.len(), read.seconds()), (120, 4.8));
    let decoded = video::decode(&read).unwrap();
    assert_eq!(decoded.len(), 120);
    for (i, (sent, got)) in pictures.iter().zip(&decoded).enumerate() {
        assert!(psnr(sent, got) > 30.0, "frame {i}: {:.1} dB", psnr(sent, got));
    }
    // Two seconds at most between places to seek to.
    let seekable: Vec<_> = (0..120).filter(|i| track.frames[*i].1).collect();
    assert_eq!(seekable[0], 0);
    assert!(
        seekable.windows(2).all(|w| w[1] - w[0] <= 50) && 120 - seekable[seekable.len() - 1] <= 50,
        "{seekable:?}"
    );

    let sound = mp4::read_speech(&file).unwrap();
    let as_written = audio::read_bytes(audio::wav_bytes(&speech), "wav", &Default::default()).unwrap();
    assert_eq!(sound, as_written, "FLAC kept every 16-bit sample");
}

#[test]
fn the_index_comes_before_the_data_and_says_who_wrote_it() {
    let (_, track) = film(5, VideoSettings { width: 64, height: 64, ..Default::default() });
    let tags = Tags {
        title: "Grüße".into(),
        comment: "seed 7".into(),
        software: "spinbot".into(),
        named: vec![("spinbot.plan".into(), "{\"steps\":[]}".into())],
    };
    let file = mp4::write(&track, None, &tags).unwrap();
    let place = |name: &[u8]| file.windows(name.len()).position(|w| w == name);
    assert!(place(b"moov").unwrap() < place(b"mdat").unwrap());
    assert_eq!(mp4::read_tags(&file).unwrap(), tags);
    assert!(place(b"nclx\0\x01\0\x01\0\x01\0").is_some());
    assert_eq!(file, mp4::write(&track, None, &tags).unwrap(), "the same inputs give the same bytes");
    let bare = mp4::write(&track, None, &Tags::default()).unwrap();
    assert!(bare.windows(4).all(|w| w != b"udta"));
    assert_eq!(mp4::read_tags(&bare).unwrap(), Tags::default());
    assert!(mp4::read_tags(b"no MP4").is_err());
}

#[test]
fn speech_is_cut_or_padded_to_the_picture() {
    for (fps, frames, rate, expected) in [
        (25, 50, 24_000, 48_000),
        (30, 50, 22_050, 36_750),
        (24, 25, 44_100, 45_938),
        (25, 10, 96_000, 19_200),
    ] {
        let (_, track) = film(frames, VideoSettings { width: 64, height: 48, fps, ..Default::default() });
        for seconds in [0.2, 9.0] {
            let file = mp4::write(&track, Some(&tone(300.0, seconds, rate)), &Tags::default()).unwrap();
            let sound = mp4::read_speech(&file).unwrap();
            assert_eq!(sound.samples.len(), expected, "{frames} frames at {fps}, {seconds} s at {rate} Hz");
            assert!(
                (sound.seconds() - mp4::read_video(&file).unwrap().seconds()).abs() < 1.0 / f64::from(fps)
            );
        }
    }
    let (_, track) = film(3, VideoSettings { width: 64, height: 48, ..Default::default() });
    let file = mp4::write(&track, Some(&Clip::new(vec![], 16_000)), &Tags::default()).unwrap();
    assert_eq!(mp4::read_speech(&file).unwrap(), Clip::new(vec![0.0; 1920], 16_000));
}

#[test]
fn a_silent_film_takes_a_voice_without_being_coded_again() {
    let (_, track) = film(60, VideoSettings { width: 128, height: 128, ..Default::default() });
    let silent = mp4::write(&track, None, &Tags::default()).unwrap();
    let voiced =
        mp4::write(&mp4::read_video(&silent).unwrap(), Some(&tone(220.0, 2.4, 16_000)), &Tags::default())
            .unwrap();
    assert_eq!(mp4::read_video(&voiced).unwrap(), track);
    assert!(mp4::read_speech(&silent).is_err());
}

#[test]
fn sides_that_are_no_multiple_of_sixteen_are_cropped_back() {
    for (width, height) in [(90, 62), (16, 16), (250, 130)] {
        let settings = VideoSettings { width, height, quantizer: 20, ..Default::default() };
        let picture = RgbImage::from_fn(width, height, |x, y| [(x * 2) as u8, (y * 2) as u8, 128].into());
        let mut encoder = Encoder::new(settings).unwrap();
        encoder.push(&picture).unwrap();
        let decoded = video::decode(&encoder.finish().unwrap()).unwrap();
        assert!(psnr(&picture, &decoded[0]) > 32.0, "{width}x{height}: {}", psnr(&picture, &decoded[0]));
    }
}

#[test]
fn flat_colours_survive() {
    for colour in [[255, 255, 255], [0, 0, 0], [128, 128, 128], [224, 172, 140], [20, 60, 200]] {
        let (width, height) = (64, 64);
        let mut encoder = Encoder::new(VideoSettings { width, height, ..Default::default() }).unwrap();
        for _ in 0..3 {
            encoder.push(&RgbImage::from_pixel(width, height, colour.into())).unwrap();
        }
        let frames = video::decode(&encoder.finish().unwrap()).unwrap();
        for (got, sent) in frames[2].get_pixel(40, 20).0.iter().zip(colour) {
            assert!(got.abs_diff(sent) <= 6, "{colour:?} became {:?}", frames[2].get_pixel(40, 20));
        }
    }
}

#[test]
fn settings_and_frames_that_do_not_fit_are_refused() {
    for settings in [(63, 64, 25, 24), (64, 14, 25, 24), (64, 5000, 25, 24), (64, 64, 0, 24), (64, 64, 25, 3)]
    {
        let (width, height, fps, quantizer) = settings;
        assert!(Encoder::new(VideoSettings { width, height, fps, quantizer }).is_err(), "{settings:?}");
    }
    let mut encoder = Encoder::new(VideoSettings { width: 64, height: 64, ..Default::default() }).unwrap();
    let error = encoder.push(&RgbImage::new(32, 64)).unwrap_err();
    assert_eq!(error.to_string(), "encoding a frame: got 32x64 px, expected 64x64 px");
    assert!(encoder.finish().is_err(), "a video without frames");
}

#[test]
fn a_contact_sheet_shows_each_frame_in_order() {
    let frames: Vec<_> = (0..7u8).map(|i| RgbImage::from_pixel(64, 48, [i * 30, 0, 0].into())).collect();
    let sheet = video::contact_sheet(&frames, 3).unwrap();
    assert_eq!(sheet.dimensions(), (3 * 66 - 2, 3 * 50 - 2));
    for i in 0..7u32 {
        assert_eq!(sheet.get_pixel(i % 3 * 66 + 30, i / 3 * 50 + 20).0, [i as u8 * 30, 0, 0], "{i}");
    }
    let wide: Vec<_> = (0..10).map(|i| moving_square(i, 512, 512)).collect();
    assert!(video::contact_sheet(&wide, 5).unwrap().width() <= 1280);
    assert!(video::contact_sheet(&[], 3).is_err() && video::contact_sheet(&frames, 0).is_err());
    assert!(picture::png_bytes(&sheet).unwrap().starts_with(b"\x89PNG"));
}
