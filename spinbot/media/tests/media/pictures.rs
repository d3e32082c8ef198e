//! Picture files.

use crate::{fixture, psnr};
use image::codecs::jpeg::JpegEncoder;
use image::{DynamicImage, GrayImage, ImageFormat, Luma, Rgb, Rgba, RgbaImage};
use spinbot_media::RgbImage;
use spinbot_media::picture::{self, Caps};
use std::io::Cursor;

fn read(bytes: &[u8]) -> spinbot_media::Result<RgbImage> {
    picture::read_bytes(bytes, "me.png", &Caps::default())
}

fn encoded(picture: &DynamicImage, format: ImageFormat) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    picture.write_to(&mut bytes, format).unwrap();
    bytes.into_inner()
}

/// Wider than high, every corner of its own colour.
fn corners() -> RgbImage {
    RgbImage::from_fn(96, 64, |x, y| match (x < 48, y < 32) {
        (true, true) => Rgb([220, 40, 40]),
        (false, true) => Rgb([40, 200, 40]),
        (true, false) => Rgb([40, 40, 220]),
        (false, false) => Rgb([230, 220, 60]),
    })
}

#[test]
fn formats_are_told_apart_by_content() {
    let picture = corners();
    let dynamic = DynamicImage::ImageRgb8(picture.clone());
    for (name, bytes, least) in [
        ("png", picture::png_bytes(&picture).unwrap(), 90.0),
        ("lossless webp", encoded(&dynamic, ImageFormat::WebP), 90.0),
        ("jpeg", picture::jpeg_bytes(&picture, 92).unwrap(), 30.0),
    ] {
        let got = read(&bytes).unwrap_or_else(|e| panic!("{name}: {e}"));
        assert!(psnr(&got, &picture) > least, "{name}: {:.1} dB", psnr(&got, &picture));
    }
    let webp = picture::read(&fixture("chart.webp"), "chart.webp", &Caps::default()).unwrap();
    assert_eq!(webp.dimensions(), (96, 64));
}

#[test]
fn a_photograph_is_turned_upright_whatever_its_exif_says() {
    let upright = corners();
    // What a camera stores so that the named turn gives `upright` back.
    let turned = |orientation: u16| {
        let d = DynamicImage::ImageRgb8(upright.clone());
        match orientation {
            2 => d.fliph(),
            3 => d.rotate180(),
            4 => d.flipv(),
            5 => d.rotate90().fliph(),
            6 => d.rotate270(),
            7 => d.rotate270().fliph(),
            8 => d.rotate90(),
            _ => d,
        }
    };
    for orientation in 0..=9u16 {
        let mut jpeg = Vec::new();
        JpegEncoder::new_with_quality(&mut jpeg, 95).encode_image(&turned(orientation)).unwrap();
        // APP1 behind the start of the image: a TIFF of one entry, 0x0112, alternately of both byte orders.
        let mut exif = b"Exif\0\0".to_vec();
        if orientation % 2 == 0 {
            exif.extend(b"II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0");
            exif.extend(orientation.to_le_bytes());
        } else {
            exif.extend(b"MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01");
            exif.extend(orientation.to_be_bytes());
        }
        exif.extend([0; 6]);
        let mut segment = vec![0xff, 0xe1];
        segment.extend((exif.len() as u16 + 2).to_be_bytes());
        segment.extend(exif);
        jpeg.splice(2..2, segment);
        let got = read(&jpeg).unwrap();
        assert!(psnr(&got, &upright) > 28.0, "orientation {orientation}: {:.1} dB", psnr(&got, &upright));
    }
}

#[test]
fn transparency_lies_on_white_and_depths_become_eight_bit() {
    let clear = RgbaImage::from_fn(64, 64, |x, _| Rgba([200, 0, 0, if x < 32 { 0 } else { 128 }]));
    for format in [ImageFormat::Png, ImageFormat::WebP] {
        let got = read(&encoded(&DynamicImage::ImageRgba8(clear.clone()), format)).unwrap();
        assert_eq!(got.get_pixel(0, 0).0, [255, 255, 255]);
        assert_eq!(got.get_pixel(63, 0).0, [227, 127, 127]);
    }
    let grey = DynamicImage::ImageLuma8(GrayImage::from_pixel(64, 64, Luma([77])));
    let deep =
        DynamicImage::ImageRgb16(image::ImageBuffer::from_pixel(64, 64, Rgb([0x1234u16, 0x8000, 0xffff])));
    let deep_grey =
        DynamicImage::ImageLumaA16(image::ImageBuffer::from_pixel(64, 64, image::LumaA([0x8080u16, 0xffff])));
    assert_eq!(read(&encoded(&grey, ImageFormat::Png)).unwrap().get_pixel(3, 3).0, [77; 3]);
    assert_eq!(read(&encoded(&grey, ImageFormat::Jpeg)).unwrap().get_pixel(3, 3).0, [77; 3]);
    assert_eq!(read(&encoded(&deep, ImageFormat::Png)).unwrap().get_pixel(3, 3).0, [0x12, 0x80, 0xff]);
    assert_eq!(read(&encoded(&deep_grey, ImageFormat::Png)).unwrap().get_pixel(3, 3).0, [0x80; 3]);
}

#[test]
fn resizing_keeps_colours_and_averages_detail() {
    let board =
        RgbImage::from_fn(256, 256, |x, y| if (x + y) % 2 == 0 { Rgb([255; 3]) } else { Rgb([0; 3]) });
    let small = picture::resize(&board, 64, 64);
    assert!(
        small
            .enumerate_pixels()
            .filter(|(x, y, _)| (4..60).contains(x) && (4..60).contains(y))
            .all(|(_, _, p)| p.0[0].abs_diff(128) < 6)
    );
    let flat = RgbImage::from_pixel(40, 30, Rgb([10, 200, 90]));
    let large = picture::resize(&flat, 333, 77);
    assert_eq!(large.dimensions(), (333, 77));
    assert!(large.pixels().all(|p| p.0 == [10, 200, 90]));
    assert_eq!(picture::resize(&flat, 0, 0).dimensions(), (1, 1));
}

#[test]
fn texts_go_into_a_png_and_come_out_again() {
    let drawn = RgbImage::from_fn(20, 10, |x, y| image::Rgb([x as u8, y as u8, 7]));
    let texts = [("parameters", "café, Steps: 20"), ("spinbot.plan", "{\"prompt\": \"写真\"}")];
    let bytes = picture::png_bytes_with_texts(&drawn, &texts).unwrap();
    let caps = Caps { min_side: 8, ..Caps::default() };
    assert_eq!(picture::read_bytes(&bytes, "drawn", &caps).unwrap(), drawn);
    let found = picture::png_texts(&bytes, "drawn").unwrap();
    assert_eq!(found, texts.map(|(keyword, text)| (keyword.to_owned(), text.to_owned())));
    assert!(picture::png_bytes_with_texts(&drawn, &[("", "no keyword")]).is_err());
    assert!(picture::png_texts(b"\xFF\xD8\xFF", "a.jpg").is_err());
    assert!(picture::png_texts(&bytes[..40], "cut.png").is_err());
}
