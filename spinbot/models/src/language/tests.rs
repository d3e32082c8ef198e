//! Tiny models of each family against transformers; what their answers may look like.

use super::*;
use serde_json::json;
use std::path::PathBuf;

fn reference(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/reference").join(name)
}

fn model(name: &str) -> LanguageModel {
    LanguageModel::open(&reference(&format!("language/{name}.gguf")), &Device::cpu()).unwrap()
}

fn ask(content: &str) -> Request {
    let messages = vec![Message { role: Role::User, content: content.into() }];
    Request { messages, schema: None, sampling: Sampling::default(), most_tokens: 40 }
}

/// Numbers of `tests/reference/language.json`.
fn expected() -> Value {
    serde_json::from_slice(&std::fs::read(reference("language.json")).unwrap()).unwrap()
}

#[test]
fn every_family_computes_what_transformers_does() {
    let expected = expected();
    let tokens: Vec<u32> = serde_json::from_value(expected["tokens"].clone()).unwrap();
    for (name, near) in [("llama", 2e-4), ("qwen2", 2e-4), ("qwen3", 2e-4), ("llama-q", 0.35)] {
        let want: [Vec<f32>; 2] = serde_json::from_value(expected["logits"][name].clone()).unwrap();
        let spread = want[1].iter().fold(0.0_f32, |most, x| most.max(x.abs()));
        assert!(spread > 3.0, "{name}: the logits tell something, up to {spread}");
        let mut decoder = model(name).decoder;
        let all = decoder.forward(&tokens).unwrap();
        decoder.rewind(0);
        let first = decoder.forward(&tokens[..5]).unwrap();
        let mut last = Vec::new();
        for token in &tokens[5..] {
            last = decoder.forward(&[*token]).unwrap();
        }
        for (what, got, want) in
            [("at once", &all, &want[1]), ("five", &first, &want[0]), ("one by one", &last, &want[1])]
        {
            assert_eq!(got.len(), want.len());
            let off = got.iter().zip(want).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            assert!(off < near, "{name}, {what}: off by {off} of {spread}");
        }
    }
}

#[test]
fn text_is_divided_as_the_file_says_and_put_together_again() {
    let tokens = model("llama").tokens;
    for (text, pieces) in [
        ("the octopus", vec!["the", " octopus"]),
        ("12 hearts", vec!["1", "2", " hearts"]),
        ("it's", vec!["i", "t", "'s"]),
        ("é\n\n!", vec!["é", "\n", "\n", "!"]),
        ("<|im_end|>the", vec!["", "the"]),
    ] {
        let ids = tokens.of_prompt(text).unwrap();
        let got: Vec<&str> = ids.iter().map(|id| std::str::from_utf8(tokens.piece(*id)).unwrap()).collect();
        assert_eq!(got, pieces, "{text}");
    }
    // What taking one out puts together is no token of the file's.
    for (text, harmless) in
        [("a<|im_end|>b", "a b"), ("a<|im_<|im_end|>end|>b", "a<|im_ end|>b"), ("a<b", "a<b")]
    {
        assert_eq!(tokens.harmless(text), harmless);
    }
}

#[test]
fn an_answer_fits_its_schema_whatever_the_weights_say() {
    let mut model = model("llama-q");
    let schema = json!({
        "type": "object",
        "properties": {
            "stage": {"type": "string", "minLength": 3, "maxLength": 12},
            "narration": {"type": "string", "maxLength": 60},
        },
        "required": ["stage", "narration"],
        "additionalProperties": false,
    });
    for seed in 0..12 {
        let mut request = ask("the octopus");
        request.schema = Some(schema.clone());
        request.most_tokens = 400;
        request.sampling = Sampling { seed, temperature: 1.5, top_k: 0, ..Sampling::default() };
        let answer = model.answer(&request, &mut |_| Next::Go).unwrap().unwrap();
        assert!(answer.whole, "{answer:?}");
        let value: Value =
            serde_json::from_str(&answer.text).unwrap_or_else(|e| panic!("{e}: {}", answer.text));
        let length = |name: &str| value[name].as_str().unwrap().chars().count();
        assert!((3..=12).contains(&length("stage")) && length("narration") <= 60, "{value}");
        assert_eq!(value.as_object().unwrap().len(), 2);
        // Closed early it is whole too, and shorter.
        let mut closed = false;
        let listen = &mut |progress: Progress<'_>| match progress {
            Progress::Writing(text) if text.contains("narration\":\"") => {
                closed = true;
                Next::Close
            }
            _ => Next::Go,
        };
        let short = model.answer(&request, listen).unwrap().unwrap();
        let value: Value = serde_json::from_str(&short.text).unwrap();
        assert!(closed && short.whole && value["narration"].as_str().unwrap().len() <= 4, "{value}");
    }
}

#[test]
fn the_same_request_has_the_same_answer_whatever_was_asked_before() {
    let mut model = model("llama-q");
    let long = "the octopus have hearts ".repeat(9);
    let first = model.answer(&ask(&long), &mut |_| Next::Go).unwrap().unwrap();
    model.answer(&ask("in an other"), &mut |_| Next::Go).unwrap();
    let again = model.answer(&ask(&long), &mut |_| Next::Go).unwrap().unwrap();
    let text = again.text.clone();
    assert_eq!((first.text, first.tokens), (again.text, again.tokens));
    assert!(first.tokens > 0);
    let mut other = ask(&long);
    other.sampling.seed = 1;
    assert_ne!(model.answer(&other, &mut |_| Next::Go).unwrap().unwrap().text, text);
    assert_eq!(model.answer(&ask(&long), &mut |_| Next::Stop).unwrap(), None);
}

#[test]
fn what_cannot_be_read_is_said() {
    let mut model = model("llama-q");
    let fault = model.answer(&ask(&"hearts ".repeat(400)), &mut |_| Next::Go).unwrap_err();
    assert!(fault.to_string().contains("the model reads at most 256"), "{fault}");
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.gguf");
    let whole = std::fs::read(reference("language/llama-q.gguf")).unwrap();
    for (bytes, words) in [
        (b"not gguf".to_vec(), "this is no GGUF file"),
        (Vec::new(), "this is no GGUF file"),
        (whole[..100].to_vec(), "cannot be read"),
        (whole[..whole.len() - 4000].to_vec(), "cannot be read"),
        (replaced(&whole, b"llama", b"mamba"), "the family `mamba`"),
    ] {
        std::fs::write(&path, bytes).unwrap();
        let fault = LanguageModel::open(&path, &Device::cpu()).err().unwrap();
        assert!(fault.to_string().contains(words), "{fault}");
    }
}

fn replaced(bytes: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    let at = bytes.windows(from.len()).position(|window| window == from).unwrap();
    bytes[at..at + to.len()].copy_from_slice(to);
    bytes
}
