//! Pictures drawn by a model of random weights: the same again, another with a LoRA, stopped, arranged, refused.

use crate::chain::{Chain, Told, fixture};
use safetensors::tensor::{Dtype, TensorView};
use serde_json::Value;
use spinbot::draw::Sampler;
use spinbot::loras::LoraFormat;
use spinbot::steps::{ArrangePictures, ConvertLora, Draw};
use spinbot_media::picture::{self, Caps};
use spinbot_studio::{StepError, StepOutput};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

type Tensors = BTreeMap<String, (Vec<usize>, Vec<f32>)>;

/// Numbers in -1..1, of a linear congruential generator (Numerical Recipes' constants).
fn random(seed: u32, count: usize) -> Vec<f32> {
    let mut state = seed;
    let next = |_| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        state as f32 / (1_u32 << 31) as f32 - 1.0
    };
    (0..count).map(next).collect()
}

fn save(path: &Path, tensors: &Tensors) {
    let bytes: Vec<Vec<u8>> = tensors
        .values()
        .map(|(_, values)| values.iter().flat_map(|value| value.to_le_bytes()).collect())
        .collect();
    let views = tensors.iter().zip(&bytes).map(|((name, (shape, _)), bytes)| {
        (name, TensorView::new(Dtype::F32, shape.clone(), bytes).unwrap())
    });
    std::fs::write(path, safetensors::serialize(views, None).unwrap()).unwrap();
}

/// The model that `tests/fixtures/diffusion/folder.json` describes.
fn write_model(folder: &Path) -> PathBuf {
    let text = std::fs::read(fixture("diffusion/folder.json")).unwrap();
    let description: Value = serde_json::from_slice(&text).unwrap();
    for (component, part) in description["components"].as_object().unwrap() {
        let place = folder.join(component);
        std::fs::create_dir_all(&place).unwrap();
        std::fs::write(place.join("config.json"), part["config"].to_string()).unwrap();
        let shapes: BTreeMap<String, Vec<usize>> = serde_json::from_value(part["shapes"].clone()).unwrap();
        let weight = |(at, (name, shape)): (usize, (String, Vec<usize>))| {
            let values = match shape.as_slice() {
                [count] => vec![f32::from(u8::from(name.ends_with("weight"))); *count],
                shape => {
                    let spread = (3.0 / shape[1..].iter().product::<usize>() as f32).sqrt();
                    let count = shape.iter().product();
                    random(at as u32, count).into_iter().map(|value| value * spread).collect()
                }
            };
            (name, (shape, values))
        };
        let file = match component.as_str() {
            "text_encoder" => "model.safetensors",
            _ => "diffusion_pytorch_model.safetensors",
        };
        save(&place.join(file), &shapes.into_iter().enumerate().map(weight).collect());
    }
    std::fs::write(folder.join("model_index.json"), description["model_index.json"].to_string()).unwrap();
    std::fs::create_dir_all(folder.join("scheduler")).unwrap();
    std::fs::write(folder.join("scheduler/scheduler_config.json"), description["scheduler"].to_string())
        .unwrap();
    std::fs::create_dir_all(folder.join("tokenizer")).unwrap();
    std::fs::copy(fixture("diffusion/tokenizer/tokenizer.json"), folder.join("tokenizer/tokenizer.json"))
        .unwrap();
    folder.to_owned()
}

/// A LoRA on one layer's queries, of that width, under kohya's names.
fn write_lora(path: PathBuf, width: usize) -> PathBuf {
    let layer = "lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn1_to_q";
    let pair = |leaf: &str, shape: Vec<usize>, seed| {
        (format!("{layer}.{leaf}.weight"), (shape, random(seed, 2 * width)))
    };
    save(&path, &[pair("lora_down", vec![2, width], 1), pair("lora_up", vec![width, 2], 2)].into());
    path
}

pub fn params() -> Draw {
    Draw {
        prompt: "a robot with a red hat".into(),
        negative: None,
        steps: 3,
        cfg: 4.0,
        rescale: 0.0,
        sampler: Some(Sampler::Euler),
        size: None,
        strength: 0.6,
        weights: Vec::new(),
        clip_skip: 0,
        device: "auto".into(),
        precision: None,
    }
}

fn only(mut outputs: Vec<StepOutput>) -> Vec<u8> {
    assert_eq!(outputs.len(), 1);
    outputs.pop().unwrap().bytes
}

fn fault(result: Result<Vec<StepOutput>, StepError>) -> spinbot::Fault {
    match result {
        Err(StepError::Fault(fault)) => fault,
        other => panic!("{other:?}"),
    }
}

/// The model that is built in draws what it is asked for: the colour behind the figure is the prompt's.
#[test]
fn the_built_in_model_is_the_one_that_plans_name_and_obeys_its_prompt() {
    let base = spinbot::base_model(None, &spinbot::models::AddedModels::standard()).unwrap();
    assert_eq!(base.sha256.0, spinbot_models::model_hash(&base.id).unwrap());
    let chain = Chain::new("built_in");
    let store = spinbot_models::Store::open(chain.path("cache")).unwrap();
    let model = store.named(&base.id, &base.sha256.0).unwrap();
    let corner = |colour: &str| {
        let params =
            Draw { prompt: format!("portrait of a person, {colour} background"), steps: 8, ..params() };
        let drawn = only(chain.seeded(&params, &[("model", model.clone())], 3));
        let drawn = picture::read_bytes(&drawn, "drawn", &Caps::default()).unwrap();
        assert_eq!(drawn.dimensions(), (128, 128));
        let ground = (2..14).flat_map(|x| (2..14).map(move |y| (x, y)));
        ground.fold([0_u32; 3], |sum, (x, y)| {
            std::array::from_fn(|c| sum[c] + u32::from(drawn.get_pixel(x, y)[c]))
        })
    };
    let (red, blue) = (corner("red"), corner("blue"));
    assert!(red[0] > 2 * red[2] && blue[2] > 2 * blue[0], "red {red:?}, blue {blue:?}");
}

#[test]
fn a_picture_follows_from_its_seed_and_loras_and_stops_when_told() {
    let chain = Chain::new("drawing");
    let model = write_model(&chain.path("model"));
    let with = |more: &[(&'static str, PathBuf)]| [&[("model", model.clone())], more].concat();
    let mut told = Told::default();
    let first = only(chain.attempt(&params(), &with(&[]), &mut told).unwrap());
    assert_eq!(told.progress, [(1.0, 3.0), (2.0, 3.0), (3.0, 3.0)]);
    // What is foreseen, and the result.
    assert_eq!(told.previews, ["seed 7", "seed 7"]);
    let read =
        |bytes: &[u8]| picture::read_bytes(bytes, "drawn", &Caps { min_side: 8, ..Caps::default() }).unwrap();
    assert_eq!(read(&first).dimensions(), (64, 64));
    let texts: BTreeMap<String, String> = picture::png_texts(&first, "drawn").unwrap().into_iter().collect();
    assert!(texts["parameters"].contains("Steps: 3, Sampler: Euler, CFG scale: 4, Seed: 7, Size: 64x64"));
    let plan: Value = serde_json::from_str(&texts["spinbot.plan"]).unwrap();
    assert_eq!(plan["seed"], 7);
    assert_eq!(only(chain.seeded(&params(), &with(&[]), 7)), first);
    assert_ne!(read(&only(chain.seeded(&params(), &with(&[]), 8))), read(&first));

    let lora = write_lora(chain.path("nova.safetensors"), 32);
    let mixed = |weight: f64| {
        let params = Draw { weights: vec![weight], ..params() };
        read(&only(chain.seeded(&params, &with(&[("lora1", lora.clone())]), 7)))
    };
    assert_ne!(mixed(1.0), read(&first));
    assert_ne!(mixed(1.0), mixed(0.5));
    assert_eq!(mixed(0.0), read(&first));

    let mut told = Told { cancel_after: Some(1), ..Told::default() };
    let stopped = chain.attempt(&params(), &with(&[]), &mut told);
    assert!(matches!(stopped, Err(StepError::Cancelled)) && told.progress.len() == 1, "{stopped:?}");

    // From a picture: nothing changes outside the mask.
    std::fs::write(chain.path("from.png"), &first).unwrap();
    let left = image::RgbImage::from_fn(64, 64, |x, _| image::Rgb([if x < 32 { 0 } else { 255 }; 3]));
    std::fs::write(chain.path("mask.png"), picture::png_bytes(&left).unwrap()).unwrap();
    let inputs = with(&[("image", chain.path("from.png")), ("mask", chain.path("mask.png"))]);
    let redrawn = read(&only(chain.seeded(&Draw { strength: 1.0, ..params() }, &inputs, 9)));
    let kept = |x: u32| (0..64).all(|y| redrawn.get_pixel(x, y) == read(&first).get_pixel(x, y));
    assert!((0..32).all(kept) && !(32..64).any(kept));

    let labels = vec!["seed 7".to_owned(), "seed 8".to_owned()];
    let pictures = [("picture1", chain.path("from.png")), ("picture2", chain.path("mask.png"))];
    let grid = only(chain.seeded(&ArrangePictures { title: String::new(), labels }, &pictures, 0));
    let (width, height) = read(&grid).dimensions();
    assert!(width > 128 && height > 64 && grid.starts_with(b"\xFF\xD8\xFF"), "{width}x{height}");

    let inputs = with(&[("lora", lora.clone())]);
    let converted = only(chain.seeded(&ConvertLora { format: LoraFormat::Diffusers }, &inputs, 0));
    let names = safetensors::SafeTensors::deserialize(&converted).unwrap();
    let name = "unet.down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_q.lora_A.weight";
    assert_eq!(names.tensor(name).unwrap().shape(), [2, 32]);
}

#[test]
fn what_cannot_be_drawn_is_told_with_its_argument() {
    let chain = Chain::new("no_drawing");
    let model = ("model", write_model(&chain.path("model")));
    let wide = ("lora1", write_lora(chain.path("wide.safetensors"), 48));
    let square = image::RgbImage::new(32, 32);
    std::fs::write(chain.path("square.png"), picture::png_bytes(&square).unwrap()).unwrap();
    std::fs::write(chain.path("wide.png"), picture::png_bytes(&image::RgbImage::new(64, 32)).unwrap())
        .unwrap();
    std::fs::create_dir_all(chain.path("nothing")).unwrap();
    let masked = [("image", chain.path("square.png")), ("mask", chain.path("wide.png"))];
    for (params, inputs, about, expected) in [
        (
            Draw { weights: vec![1.0], ..params() },
            vec![model.clone(), wide],
            "lora1",
            "another kind of model",
        ),
        (Draw { size: Some((65, 64)), ..params() }, vec![model.clone()], "size", "65x64 is no size"),
        (Draw { size: Some((1 << 31, 1 << 31)), ..params() }, vec![model.clone()], "size", "4 megapixels"),
        (Draw { prompt: "a red hat and ".repeat(100), ..params() }, vec![model.clone()], "prompt", "tokens"),
        (Draw { steps: 0, ..params() }, vec![model.clone()], "steps", "need 1 to 200"),
        (
            params(),
            [&[model.clone()][..], &masked].concat(),
            "mask",
            "the mask is 64x32 and its picture 32x32",
        ),
        (params(), vec![("model", chain.path("nothing"))], "model", "model_index.json"),
    ] {
        let fault = fault(chain.attempt(&params, &inputs, &mut Told::default()));
        assert!(fault.message.contains(expected), "{fault}");
        assert_eq!(fault.argument.as_deref(), Some(about), "{fault}");
    }
}
