//! What a language model is asked to write, and the form its answer must have.

use super::{Ask, draft};
use serde_json::{Value, json};
use spinbot::steps::{Tone, WriteScript};
use spinbot_models::language::{Message, Role};

/// Letters of a word with the space behind it, in the mean; of a long one.
const LETTERS: f64 = 5.6;
const MOST_LETTERS: f64 = 8.0;
/// A narration ends with the first sentence that reaches this share of the words asked for.
const ENOUGH: f64 = 0.85;
/// At this share it ends wherever it is.
const TOO_MUCH: f64 = 1.3;

/// An order, with what follows from it.
pub(super) struct Brief<'a> {
    pub(super) order: &'a WriteScript,
    /// Words to write.
    pub(super) words: f64,
}

impl<'a> Brief<'a> {
    pub(super) fn of(order: &'a WriteScript) -> Self {
        Brief { order, words: (order.seconds * order.words_per_second).max(4.0) }
    }

    /// Whether a narration that is being written may end here.
    pub(super) fn ends_with(&self, narration: &str) -> bool {
        let words = draft::words(narration).count() as f64;
        let sentence = narration.trim_end().ends_with(['.', '!', '?']);
        words >= self.words * TOO_MUCH || sentence && words >= self.words * ENOUGH
    }

    /// The question of one attempt.
    pub(super) fn ask(&self, seed: u64, attempt: u64) -> Ask {
        let said = |role, content: String| Message { role, content };
        let mut messages = vec![said(Role::System, SYSTEM.to_owned())];
        for example in examples(self.order.tone) {
            messages
                .push(said(Role::User, question(example.topic, self.order.tone, None, example.narration)));
            messages.push(said(Role::Assistant, self.answer(example).to_string()));
        }
        let topic = question(&self.order.topic, self.order.tone, self.order.persona.as_deref(), "");
        let words = self.words.round();
        messages.push(said(Role::User, format!("{topic}\nLength: about {words} words")));
        Ask {
            messages,
            schema: self.schema(),
            seed: seed.wrapping_mul(1000).wrapping_add(attempt),
            temperature: 0.3 + 0.1 * attempt as f32,
            most_tokens: (self.words * 3.0) as usize + 120,
        }
    }

    /// An example's answer in the form that is asked for.
    fn answer(&self, example: &Example) -> Value {
        let stage = match self.order.stages.is_empty() {
            true => example.place,
            false => self
                .order
                .stages
                .iter()
                .map(String::as_str)
                .find(|s| *s == example.stage)
                .unwrap_or_else(|| self.order.stages.first().map_or("", String::as_str)),
        };
        // What is said first: where it is said follows from that, and not the other way about.
        json!({"narration": example.narration, "stage": stage})
    }

    fn schema(&self) -> Value {
        let stage = match self.order.stages.is_empty() {
            true => json!({"type": "string", "minLength": 8, "maxLength": 100}),
            false => json!({"type": "string", "enum": self.order.stages}),
        };
        let letters = |share: f64, letters: f64| (self.words * share * letters) as u64;
        json!({
            "type": "object",
            "properties": {
                "narration": {
                    "type": "string",
                    "minLength": letters(0.55, LETTERS),
                    "maxLength": letters(1.6, MOST_LETTERS) + 40,
                },
                "stage": stage,
            },
            "required": ["narration", "stage"],
            "additionalProperties": false,
        })
    }
}

const SYSTEM: &str = "You write what a person says into a camera. Answer in JSON: \"narration\" is what the person says: plain English sentences about the topic, to be read aloud; \"stage\" is where the person stands. No lists, no headings, no emojis, no greetings to other people.";

fn question(topic: &str, tone: Tone, persona: Option<&str>, narration: &str) -> String {
    let manner = match tone {
        Tone::Casual => "casual, as among friends",
        Tone::Formal => "formal, as in a lecture",
        Tone::Playful => "playful, with a joke",
        Tone::Dramatic => "dramatic, as on a stage",
    };
    let speaker = persona.map_or(String::new(), |persona| format!("\nSpeaker: {persona}"));
    let length = match narration.is_empty() {
        true => String::new(),
        false => format!("\nLength: about {} words", draft::words(narration).count()),
    };
    format!("Topic: {topic}\nTone: {manner}{speaker}{length}")
}

/// A script that was written for this.
pub(super) struct Example {
    topic: &'static str,
    /// One of [`spinbot::script::STAGES`].
    stage: &'static str,
    /// The same where any stage may be named.
    place: &'static str,
    pub(super) narration: &'static str,
}

/// Two for each tone: a small model follows what it is shown better than what it is told.
pub(super) fn examples(tone: Tone) -> &'static [Example] {
    match tone {
        Tone::Casual => &[
            Example {
                topic: "why bread rises",
                stage: "in a living room",
                place: "a warm kitchen with flour on the table",
                narration: "Ever wondered why bread gets so fluffy? It is all thanks to yeast, tiny living things that love sugar. They eat it and breathe out gas, and the gas gets trapped in the dough as thousands of little bubbles. In the oven those bubbles swell up, and that is your soft, airy loaf.",
            },
            Example {
                topic: "the moon and the tides",
                stage: "at the beach",
                place: "a quiet beach in the evening",
                narration: "So the sea goes up and down twice a day, and the moon is to blame. Its pull tugs the water toward it and makes a bulge. The Earth spins under that bulge, so your beach passes through it again and again.",
            },
        ],
        Tone::Formal => &[
            Example {
                topic: "why bread rises",
                stage: "in a living room",
                place: "a bright lecture hall",
                narration: "Bread rises because of yeast, a living organism that feeds on the sugars in flour. As it feeds, it releases carbon dioxide. The gas is held by a network of gluten, and the dough expands. In the heat of the oven the bubbles grow once more, and the structure becomes firm.",
            },
            Example {
                topic: "the moon and the tides",
                stage: "at the beach",
                place: "a harbour wall at low tide",
                narration: "The tides are caused chiefly by the gravity of the moon. It draws the oceans toward itself and raises a bulge of water. As the Earth turns, each coast passes through that bulge, and the sea rises and falls twice a day.",
            },
        ],
        Tone::Playful => &[
            Example {
                topic: "why bread rises",
                stage: "in a living room",
                place: "a cheerful kitchen with balloons",
                narration: "Bread is basically a balloon you can eat! Tiny yeast creatures throw a party in the dough, gobble up all the sugar, and then they burp. Millions of little burps, all stuck inside. In the oven those burps puff up, and you put butter on them. You are welcome.",
            },
            Example {
                topic: "the moon and the tides",
                stage: "at the beach",
                place: "a sunny beach with a sandcastle",
                narration: "The moon is playing tug of war with the sea, and your sandcastle is going to lose. It pulls the water into a big bulge, and we spin right through it, twice a day. So build higher walls, or send the moon a complaint.",
            },
        ],
        Tone::Dramatic => &[
            Example {
                topic: "why bread rises",
                stage: "on a stage, red curtain",
                place: "a dark stage under a single light",
                narration: "In the darkness of the dough, something is alive. Millions of yeast cells wake, and they are hungry. They devour the sugar, and with every breath they fill their prison with gas. The walls stretch. The walls rise. Then comes the fire, and out of the fire comes bread.",
            },
            Example {
                topic: "the moon and the tides",
                stage: "under a night sky",
                place: "a cliff above a stormy sea at night",
                narration: "Far above the black water hangs the moon, and the whole ocean obeys it. It calls, and the sea rises like a giant from its bed. No wall can stop it. Twice a day it comes, and twice a day it goes.",
            },
        ],
    }
}
