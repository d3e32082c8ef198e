//! Trains the network that hears visemes (`spinbot_models::visemes`): see `recipes/visemes/README.md`.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

mod material;
mod scores;
mod speech;
mod training;

use std::path::Path;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match &arguments[..] {
        ["speak", folder, first, end, held_out] => {
            let learned = first.parse().unwrap()..end.parse().unwrap();
            speech::make(Path::new(folder), learned, held_out.parse().unwrap());
        }
        ["train", folder, steps, out] => {
            training::train(Path::new(folder), steps.parse().unwrap(), Path::new(out))
        }
        ["score", folder, weights] => scores::held_out(Path::new(folder), Path::new(weights)),
        _ => println!(
            "usage: train_visemes speak FOLDER FIRST END HELD_OUT\n       train_visemes train FOLDER STEPS OUT\n       \
             train_visemes score FOLDER WEIGHTS"
        ),
    }
}
