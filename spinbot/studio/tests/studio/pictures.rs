//! Pictures to learn from, as people give them: turned, torn, twice, without a face, with the captions they wrote.

use crate::chain::{Chain, Told, fixture};
use image::{RgbImage, imageops};
use safetensors::SafeTensors;
use spinbot::pictures::{Captions, Crop, PicturesRead};
use spinbot::steps::ReadPictures;
use spinbot_studio::{StepError, StepOutput};
use std::path::PathBuf;

fn step() -> ReadPictures {
    ReadPictures {
        resolution: Some(128),
        crop: Crop::Face,
        captions: Captions::Files,
        trigger: "nova".into(),
        flip: false,
        hold_out: true,
        empty: Vec::new(),
    }
}

fn astronaut() -> RgbImage {
    image::open(fixture("portraits/astronaut.png")).unwrap().to_rgb8()
}

/// The photo with one pixel changed, so that no two are the same.
fn marked(n: u8) -> RgbImage {
    let mut photo = imageops::crop_imm(&astronaut(), 60, 0, 320, 300).to_image();
    photo.put_pixel(0, 0, [n, n, n].into());
    photo
}

fn saved(chain: &Chain, name: &str, picture: &RgbImage) -> PathBuf {
    picture.save(chain.path(name)).unwrap();
    chain.path(name)
}

fn written(chain: &Chain, name: &str, bytes: &[u8]) -> PathBuf {
    std::fs::write(chain.path(name), bytes).unwrap();
    chain.path(name)
}

/// What a run left: the report, which the pictures' file says too, and the pictures.
fn read(chain: &Chain, step: &ReadPictures, inputs: &[(&str, PathBuf)]) -> (PicturesRead, Vec<RgbImage>) {
    let outputs = chain.seeded(step, inputs, 7);
    let names: Vec<&str> = outputs.iter().map(|output| output.name).collect();
    assert_eq!(names, ["pictures", "sheet", "report"]);
    let told: PicturesRead = serde_json::from_slice(&outputs[2].bytes).unwrap();
    let (_, header) = SafeTensors::read_metadata(&outputs[0].bytes).unwrap();
    let record = &header.metadata().as_ref().unwrap()["spinbot.pictures"];
    assert_eq!(serde_json::from_str::<PicturesRead>(record).unwrap(), told);
    let file = SafeTensors::deserialize(&outputs[0].bytes).unwrap();
    assert_eq!(file.len(), told.items.len());
    let pictures = told.items.iter().enumerate().map(|(i, item)| {
        let tensor = file.tensor(&format!("picture.{i}")).unwrap();
        assert_eq!(tensor.shape(), [item.height as usize, item.width as usize, 3]);
        RgbImage::from_raw(item.width, item.height, tensor.data().to_vec()).unwrap()
    });
    let pictures = pictures.collect();
    chain.note(&format!("{told:#?}"));
    std::fs::write(chain.path("sheet.png"), &outputs[1].bytes).unwrap();
    let sheet = image::load_from_memory(&outputs[1].bytes).unwrap();
    assert!(sheet.width() <= 1100);
    (told, pictures)
}

#[test]
fn a_torn_picture_among_good_ones_is_left_out_and_said() {
    let chain = Chain::new("pictures_torn");
    let whole = {
        let mut png = std::io::Cursor::new(Vec::new());
        marked(1).write_to(&mut png, image::ImageFormat::Png).unwrap();
        png.into_inner()
    };
    let mut inputs: Vec<(&str, PathBuf)> = ["picture1", "picture2", "picture3", "picture4", "picture5"]
        .into_iter()
        .zip(1..)
        .map(|(name, n)| (name, saved(&chain, &format!("{n}.png"), &marked(n))))
        .collect();
    inputs.push(("picture6", written(&chain, "torn.png", &whole[..whole.len() / 2])));
    inputs.push(("picture7", written(&chain, "notes.jpg", b"a list of things to do")));
    inputs.push(("picture8", written(&chain, "again.png", &std::fs::read(chain.path("1.png")).unwrap())));
    let step = ReadPictures { empty: vec!["void.png".into()], ..step() };
    let (told, pictures) = read(&chain, &step, &inputs);
    assert_eq!((told.items.len(), told.learned(), told.held_out()), (5, 4, 1));
    let left: Vec<(&str, &str)> =
        told.left_out.iter().map(|left| (left.name.as_str(), left.why.as_str())).collect();
    assert_eq!(left[0], ("void.png", "void.png: the file is empty"));
    assert!(left[1].0 == "torn.png" && left[1].1.starts_with("torn.png: "), "{left:?}");
    assert!(left[2].1.starts_with("notes.jpg: "), "{left:?}");
    assert_eq!(left[3], ("again.png", "again.png: is the same picture as 1.png"));
    assert!(told.notes.iter().any(|note| note.starts_with("kept back to measure on")), "{:?}", told.notes);
    assert!(told.notes.contains(&"left out: 4 of 9".to_owned()), "{:?}", told.notes);
    // Each is a head and shoulders: the face is where a portrait has it.
    for (item, picture) in told.items.iter().zip(&pictures) {
        let [x, y, w, h] = item.face.unwrap();
        assert_eq!(picture.dimensions(), (128, 128));
        assert!((40.0..88.0).contains(&(x + w / 2.0)) && (35.0..85.0).contains(&(y + h / 2.0)), "{item:?}");
        assert!(h > 30.0, "{item:?}");
    }
    // Which one is kept back depends on the pictures, not on what they are called or in which order they come.
    let held = |told: &PicturesRead| told.items.iter().position(|item| item.held_out).unwrap();
    let first = pictures[held(&told)].clone();
    inputs[..5].reverse();
    let names = ["picture1", "picture2", "picture3", "picture4", "picture5"];
    let turned: Vec<(&str, PathBuf)> =
        names.into_iter().zip(inputs[..5].iter().map(|(_, path)| path.clone())).collect();
    let (told, pictures) = read(&chain, &step, &turned);
    assert_eq!(pictures[held(&told)], first);
}

#[test]
fn one_picture_is_enough_and_two_hundred_are_not_too_many() {
    let chain = Chain::new("pictures_one");
    let (told, _) = read(&chain, &step(), &[("picture1", saved(&chain, "me.png", &marked(1)))]);
    assert_eq!((told.items.len(), told.learned(), told.held_out()), (1, 1, 0));
    assert!(told.notes.iter().any(|note| note.starts_with("one picture alone")), "{:?}", told.notes);

    // Drawings without a face, of all shapes.
    let names: Vec<(String, PathBuf)> = (1..=200_u32)
        .map(|n| {
            let (w, h) = (70 + n % 90, 70 + n * 7 % 90);
            let drawing = RgbImage::from_fn(w, h, |x, y| [(x * n) as u8, (y * 3) as u8, n as u8].into());
            (format!("picture{n}"), saved(&chain, &format!("{n}.png"), &drawing))
        })
        .collect();
    let inputs: Vec<(&str, PathBuf)> =
        names.iter().map(|(name, path)| (name.as_str(), path.clone())).collect();
    let (told, _) = read(&chain, &ReadPictures { resolution: None, ..step() }, &inputs);
    assert_eq!((told.items.len(), told.held_out()), (200, 4));
    assert!(told.items.iter().all(|item| item.width % 64 == 0 && item.height % 64 == 0));
    let sizes: std::collections::BTreeSet<_> = told.items.iter().map(|i| (i.width, i.height)).collect();
    assert!(sizes.len() >= 5, "{sizes:?}");
}

#[test]
fn captions_are_those_written_with_the_trigger_word_in_them() {
    let chain = Chain::new("pictures_captions");
    let inputs = [
        ("picture1", saved(&chain, "a.png", &marked(1))),
        ("caption1", written(&chain, "a.txt", "\u{feff}portrait of {},\n smiling".as_bytes())),
        ("picture2", saved(&chain, "b.png", &marked(2))),
        ("caption2", written(&chain, "b.txt", b"a woman in an orange suit, looking left")),
        ("picture3", saved(&chain, "c.png", &marked(3))),
        ("caption3", written(&chain, "c.txt", b"\xff\xfe\x00")),
        ("picture4", saved(&chain, "d.png", &marked(4))),
    ];
    let (told, pictures) = read(&chain, &ReadPictures { flip: true, ..step() }, &inputs);
    let caption = |name: &str, mirrored: bool| {
        let found = told.items.iter().find(|item| item.name == name && item.mirrored == mirrored);
        found.unwrap().caption.clone()
    };
    assert_eq!(caption("a.png", false), "portrait of nova, smiling");
    assert_eq!(caption("b.png", false), "nova, a woman in an orange suit, looking left");
    assert_eq!(caption("b.png", true), "nova, a woman in an orange suit, looking right");
    assert!(caption("d.png", false).starts_with("a portrait of nova"), "{}", caption("d.png", false));
    assert_eq!(imageops::flip_horizontal(&pictures[0]), pictures[1]);
    let [x, _, w, _] = told.items[0].face.unwrap();
    assert!((told.items[1].face.unwrap()[0] - (128.0 - x - w)).abs() < 1e-3);
    for wanted in [
        "the trigger word was put before captions without it: b.png",
        "c.txt: is no UTF-8 text; told by what is seen",
        "no caption beside c.png, d.png: told by what is seen",
    ] {
        assert!(told.notes.contains(&wanted.to_owned()), "{wanted} is missing in {:?}", told.notes);
    }

    let words = ReadPictures { captions: Captions::Words("photo of {} in space".into()), ..step() };
    let (told, _) = read(&chain, &words, &inputs);
    assert!(told.items.iter().all(|item| item.caption == "photo of nova in space"), "{told:?}");
}

#[test]
fn what_is_seen_is_said_and_nothing_else() {
    let chain = Chain::new("pictures_seen");
    // The face before a wall of one colour.
    let face = imageops::crop_imm(&astronaut(), 150, 20, 150, 190).to_image();
    let mut wall = RgbImage::from_pixel(400, 400, [70, 120, 220].into());
    imageops::replace(&mut wall, &face, 125, 120);
    let grey = image::DynamicImage::ImageRgb8(astronaut()).grayscale().to_rgb8();
    let scene = RgbImage::from_fn(300, 200, |x, y| [(x * 5) as u8, (y * 9) as u8, (x * y) as u8].into());
    let inputs = [
        ("picture1", saved(&chain, "wall.png", &wall)),
        ("picture2", saved(&chain, "photo.png", &astronaut())),
        ("picture3", saved(&chain, "grey.png", &grey)),
        ("picture4", saved(&chain, "scene.png", &scene)),
    ];
    let (told, _) =
        read(&chain, &ReadPictures { captions: Captions::Auto, crop: Crop::Whole, ..step() }, &inputs);
    let captions: Vec<&str> = told.items.iter().map(|item| item.caption.as_str()).collect();
    // She smiles and shows her teeth.
    assert!(captions[0].starts_with("a portrait of nova") && captions[0].contains("smiling"), "{captions:?}");
    assert!(captions[0].ends_with(", plain blue background"), "{captions:?}");
    assert!(captions[1].contains("smiling") && !captions[1].contains("background"), "{captions:?}");
    assert!(captions[2].starts_with("a black and white portrait of nova"), "{captions:?}");
    assert_eq!(captions[3], "a picture of nova");
    assert!(told.notes.iter().any(|note| note.starts_with("no face found in scene.png")), "{:?}", told.notes);
}

#[test]
fn pictures_lie_as_the_camera_says_and_keep_their_shape() {
    let chain = Chain::new("pictures_turned");
    // A JPEG on its side, with the EXIF orientation that says so (6: turn it to the right).
    let upright = imageops::crop_imm(&astronaut(), 60, 0, 300, 450).to_image();
    let mut jpeg = std::io::Cursor::new(Vec::new());
    imageops::rotate270(&upright).write_to(&mut jpeg, image::ImageFormat::Jpeg).unwrap();
    let mut bytes = jpeg.into_inner();
    let tiff = b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0";
    let mut segment = vec![0xff, 0xe1, 0, (tiff.len() + 2) as u8];
    segment.extend(tiff);
    bytes.splice(2..2, segment);
    let inputs = [("picture1", written(&chain, "phone.jpg", &bytes))];
    let (told, pictures) =
        read(&chain, &ReadPictures { crop: Crop::Whole, resolution: Some(256), ..step() }, &inputs);
    let item = &told.items[0];
    assert_eq!((item.width, item.height), (192, 320));
    assert!(item.face.is_some_and(|[_, y, _, h]| y + h < 200.0), "{item:?}");
    let expected = imageops::resize(&upright, 192, 288, imageops::FilterType::Lanczos3);
    assert!(pictures[0].height() > expected.height());
}

#[test]
fn what_cannot_be_learned_from_is_refused_in_a_sentence() {
    let chain = Chain::new("pictures_refused");
    let good = saved(&chain, "good.png", &marked(1));
    let notes = written(&chain, "notes.png", b"a list of things to do");
    let torn = written(&chain, "torn.png", &[0x89, b'P', b'N', b'G', 13, 10, 26, 10, 0]);
    let refused = |step: &ReadPictures, inputs: &[(&str, PathBuf)]| {
        let attempt: Result<Vec<StepOutput>, StepError> = chain.attempt(step, inputs, &mut Told::default());
        match attempt {
            Err(StepError::Fault(fault)) => fault,
            other => panic!("{other:?} was taken"),
        }
    };
    let one = refused(&step(), &[("picture1", notes.clone())]);
    assert!(one.message.starts_with("notes.png: ") && one.help.is_some(), "{one:?}");
    assert_eq!(one.argument.as_deref(), Some("picture1"));
    let none = refused(&step(), &[("picture1", notes), ("picture2", torn)]);
    assert_eq!(none.message, "none of 2 pictures can be read");
    for (step, argument) in [
        (ReadPictures { trigger: "two words".into(), ..step() }, "trigger"),
        (ReadPictures { resolution: Some(8), ..step() }, "resolution"),
        (ReadPictures { captions: Captions::Words(" ".into()), ..step() }, "caption_from"),
    ] {
        let fault = refused(&step, &[("picture1", good.clone())]);
        assert_eq!(fault.argument.as_deref(), Some(argument), "{fault:?}");
    }
    // Stopped between two pictures.
    let mut told = Told { cancel_after: Some(1), ..Told::default() };
    let inputs = [("picture1", good.clone()), ("picture2", saved(&chain, "b.png", &marked(2)))];
    assert!(matches!(chain.attempt(&step(), &inputs, &mut told), Err(StepError::Cancelled)));
    assert_eq!(told.progress.len(), 1);
}
