//! Photographs in, pictures out: what a user gives as JPEG, PNG or WebP becomes 8-bit RGB the right way up,
//! and RGB becomes PNG or JPEG. Dimensions are checked from the header, before any pixel is decoded.

use crate::source::{self, Content};
use crate::{MediaError, Result};
use image::codecs::jpeg::{JpegDecoder, JpegEncoder};
use image::codecs::png::{CompressionType, FilterType, PngDecoder, PngEncoder};
use image::codecs::webp::WebPDecoder;
use image::{DynamicImage, ExtendedColorType, ImageDecoder, ImageEncoder, ImageError, Limits, RgbImage};
use std::collections::HashMap;
use std::io::Cursor;
use std::path::Path;

/// What is accepted from a picture file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Caps {
    /// Bytes of the file.
    pub max_bytes: u64,
    /// Smallest width and height in pixels.
    pub min_side: u32,
    /// Largest width and height in pixels.
    pub max_side: u32,
    /// Most pixels in all.
    pub max_pixels: u64,
}

impl Default for Caps {
    /// 40 MB, sides from 64 to 12000 pixels, 50 megapixels.
    fn default() -> Self {
        Caps { max_bytes: 40_000_000, min_side: 64, max_side: 12_000, max_pixels: 50_000_000 }
    }
}

/// Reads a JPEG, PNG or WebP, told apart by content, as RGB: turned upright by its EXIF orientation,
/// transparency laid over white, grey and 16 bit converted.
///
/// `label` is what the user called the file, for messages.
///
/// # Errors
/// If it is missing, empty, no picture, beyond the caps, or broken.
pub fn read(path: &Path, label: &str, caps: &Caps) -> Result<RgbImage> {
    read_bytes(&source::load(path, label, caps.max_bytes)?, label, caps)
}

/// As [`read`], from bytes in memory.
///
/// # Errors
/// As [`read`].
pub fn read_bytes(bytes: &[u8], label: &str, caps: &Caps) -> Result<RgbImage> {
    source::check_size(label, bytes.len() as u64, caps.max_bytes)?;
    let header = |e| MediaError::broken(label, "reading the picture's header", sentence(e));
    let cursor = Cursor::new(bytes);
    let content = Content::of(bytes);
    match content {
        Content::Png => {
            // Bounds what compressed chunks before the pixels may unpack to.
            let mut limits = Limits::no_limits();
            limits.max_alloc = Some(caps.max_pixels.saturating_mul(8).saturating_add(1 << 22));
            decode(PngDecoder::with_limits(cursor, limits).map_err(header)?, label, caps)
        }
        Content::Jpeg => decode(JpegDecoder::new(cursor).map_err(header)?, label, caps),
        Content::WebP => decode(WebPDecoder::new(cursor).map_err(header)?, label, caps),
        _ => Err(source::wrong_kind(label, content, "a picture")),
    }
}

/// Checks the header's dimensions, then decodes, turns and converts.
fn decode(mut decoder: impl ImageDecoder, label: &str, caps: &Caps) -> Result<RgbImage> {
    let (width, height) = decoder.dimensions();
    check_dimensions(width, height, label, caps)?;
    // A broken EXIF block is no reason to refuse a picture.
    let orientation = decoder.orientation().unwrap_or(image::metadata::Orientation::NoTransforms);
    let mut picture = DynamicImage::from_decoder(decoder)
        .map_err(|e| MediaError::broken(label, "decoding the picture", sentence(e)))?;
    picture.apply_orientation(orientation);
    Ok(flatten(picture))
}

fn check_dimensions(width: u32, height: u32, label: &str, caps: &Caps) -> Result<()> {
    let label = label.to_owned();
    let got = format!("{width}x{height} px");
    let pixels = u64::from(width) * u64::from(height);
    if width.min(height) < caps.min_side {
        let limit = format!("{} px on each side", caps.min_side);
        return Err(MediaError::TooLittle { label, what: "the picture", got, limit });
    }
    if width.max(height) > caps.max_side {
        let limit = format!("{} px on a side", caps.max_side);
        return Err(MediaError::TooMuch { label, what: "the picture", got, limit });
    }
    if pixels > caps.max_pixels {
        let limit = format!("{:.0} megapixels", caps.max_pixels as f64 / 1e6);
        return Err(MediaError::TooMuch { label, what: "the picture", got, limit });
    }
    Ok(())
}

/// Lays transparency over white; a cut-out portrait on black would teach a model black backgrounds.
fn flatten(picture: DynamicImage) -> RgbImage {
    if !picture.color().has_alpha() {
        return picture.into_rgb8();
    }
    let rgba = picture.into_rgba8();
    let mut rgb = RgbImage::new(rgba.width(), rgba.height());
    for (to, from) in rgb.pixels_mut().zip(rgba.pixels()) {
        let [r, g, b, alpha] = from.0.map(u32::from);
        let over_white = |c: u32| ((c * alpha + 255 * (255 - alpha) + 127) / 255) as u8;
        to.0 = [over_white(r), over_white(g), over_white(b)];
    }
    rgb
}

/// The picture as a PNG file, compressed fast: a preview is written more often than it is kept, and the slow
/// way takes sixty times as long for a fifth less.
///
/// # Errors
/// If the picture has no pixels.
pub fn png_bytes(picture: &RgbImage) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    PngEncoder::new_with_quality(&mut bytes, CompressionType::Fast, FilterType::Adaptive)
        .write_image(picture.as_raw(), picture.width(), picture.height(), ExtendedColorType::Rgb8)
        .map_err(|e| MediaError::encode("writing a PNG", e))?;
    Ok(bytes)
}

/// The picture as a PNG file with texts under keywords (PNG specification, section 11.3.3): as `tEXt` where they are
/// Latin-1, which everything reads, else as `iTXt`.
///
/// # Errors
/// If the picture has no pixels, or a keyword is not of 1 to 79 Latin-1 characters.
pub fn png_bytes_with_texts(picture: &RgbImage, texts: &[(&str, &str)]) -> Result<Vec<u8>> {
    let failed = |e: png::EncodingError| MediaError::encode("writing a PNG", e);
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, picture.width(), picture.height());
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_depth(png::BitDepth::Eight);
    encoder.set_compression(png::Compression::Balanced);
    for (keyword, text) in texts {
        let (keyword, latin1) = ((*keyword).to_owned(), text.chars().all(|c| u32::from(c) < 256));
        let added = match latin1 {
            true => encoder.add_text_chunk(keyword, (*text).to_owned()),
            false => encoder.add_itxt_chunk(keyword, (*text).to_owned()),
        };
        added.map_err(failed)?;
    }
    encoder
        .write_header()
        .and_then(|mut writer| writer.write_image_data(picture.as_raw()))
        .map_err(failed)?;
    Ok(bytes)
}

/// Bytes that the texts of a PNG may unpack to.
const MAX_TEXTS: usize = 4 << 20;

/// The texts of a PNG file by keyword: `tEXt`, `zTXt` and `iTXt`, those before the pixels.
///
/// # Errors
/// If it is no PNG, or its texts are broken or larger than 4 MB.
pub fn png_texts(bytes: &[u8], label: &str) -> Result<Vec<(String, String)>> {
    let broken =
        |e: png::DecodingError| MediaError::broken(label, "reading the picture's texts", e.to_string());
    let limits = png::Limits { bytes: MAX_TEXTS };
    let reader = png::Decoder::new_with_limits(Cursor::new(bytes), limits).read_info().map_err(broken)?;
    let info = reader.info();
    let mut texts: Vec<(String, String)> = info
        .uncompressed_latin1_text
        .iter()
        .map(|chunk| (chunk.keyword.clone(), chunk.text.clone()))
        .collect();
    for chunk in &info.compressed_latin1_text {
        let mut chunk = chunk.clone();
        chunk.decompress_text_with_limit(MAX_TEXTS).map_err(broken)?;
        texts.push((chunk.keyword.clone(), chunk.get_text().map_err(broken)?));
    }
    for chunk in &info.utf8_text {
        let mut chunk = chunk.clone();
        chunk.decompress_text_with_limit(MAX_TEXTS).map_err(broken)?;
        texts.push((chunk.keyword.clone(), chunk.get_text().map_err(broken)?));
    }
    Ok(texts)
}

/// A drawing as a PNG file with a palette: a third of the bytes, slower. Of a picture with more than 256 colours
/// each gives up its lowest bits until there are no more than that.
///
/// # Errors
/// If the picture has no pixels.
pub(crate) fn palette_png_bytes(picture: &RgbImage) -> Result<Vec<u8>> {
    let failed = |e: png::EncodingError| MediaError::encode("writing a PNG", e);
    let (palette, indices) = palette(picture);
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, picture.width(), picture.height());
    encoder.set_color(png::ColorType::Indexed);
    encoder.set_depth(png::BitDepth::Eight);
    encoder.set_palette(palette);
    // Neighbouring indices are no neighbours in colour: a filter would only hide what repeats.
    encoder.set_filter(png::Filter::NoFilter);
    encoder.set_compression(png::Compression::High);
    encoder.write_header().and_then(|mut writer| writer.write_image_data(&indices)).map_err(failed)?;
    Ok(bytes)
}

/// The colours of a picture, at most 256, and which of them each pixel has.
fn palette(picture: &RgbImage) -> (Vec<u8>, Vec<u8>) {
    for lost in 0..8 {
        let coarse = |c: u8| (c >> lost << lost) | (if lost > 0 { c >> (8 - lost) } else { 0 });
        let mut known = HashMap::new();
        let mut colours = Vec::new();
        let mut indices = Vec::with_capacity(picture.as_raw().len() / 3);
        for pixel in picture.pixels() {
            let colour = pixel.0.map(coarse);
            let index = *known.entry(colour).or_insert_with(|| {
                colours.extend(colour);
                colours.len() / 3 - 1
            });
            match u8::try_from(index) {
                Ok(index) => indices.push(index),
                Err(_) => break,
            }
        }
        if indices.len() == picture.as_raw().len() / 3 {
            return (colours, indices);
        }
    }
    // With one bit a channel there are 8 colours, so the loop has returned.
    (vec![0; 3], vec![0; picture.as_raw().len() / 3])
}

/// The picture as a JPEG file of `quality` 1 to 100 (90 is hard to tell from the original).
///
/// # Errors
/// If the picture has no pixels or a side above 65535.
pub fn jpeg_bytes(picture: &RgbImage, quality: u8) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    JpegEncoder::new_with_quality(&mut bytes, quality.clamp(1, 100))
        .write_image(picture.as_raw(), picture.width(), picture.height(), ExtendedColorType::Rgb8)
        .map_err(|e| MediaError::encode("writing a JPEG", e))?;
    Ok(bytes)
}

/// The picture at another size (Lanczos 3, which also averages when it shrinks). A side of 0 becomes 1.
pub fn resize(picture: &RgbImage, width: u32, height: u32) -> RgbImage {
    if picture.dimensions() == (width, height) {
        return picture.clone();
    }
    image::imageops::resize(picture, width.max(1), height.max(1), image::imageops::FilterType::Lanczos3)
}

fn sentence(error: ImageError) -> String {
    match error {
        ImageError::Decoding(e) => {
            std::error::Error::source(&e).map_or_else(|| e.to_string(), ToString::to_string)
        }
        other => other.to_string(),
    }
}
