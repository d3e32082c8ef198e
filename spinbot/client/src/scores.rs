//! What pictures are worth: how much they are of whom they should be, whether they show what was asked, how much they
//! differ. The networks that tell are `spinbot-studio`'s to run.

use serde::{Deserialize, Serialize};

/// What identity is told by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum IdentityBy {
    /// The face, 128 numbers: of photographs.
    Face,
    /// The figure as it is drawn, 64 numbers: of everything else.
    Figure,
}

impl IdentityBy {
    /// `the face`, `the figure`.
    pub fn name(self) -> &'static str {
        match self {
            IdentityBy::Face => "the face",
            IdentityBy::Figure => "the figure",
        }
    }
}

/// Who a LoRA is of, in numbers that tell whether a picture is of the same: output `identity` of
/// [`TrainLora`](crate::steps::TrainLora). A face's numbers are as private as the face: they are kept beside the LoRA's
/// file, never in it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Identity {
    /// What they are numbers of.
    pub by: IdentityBy,
    /// Of each picture in which there is something to go by.
    pub pictures: Vec<IdentityPicture>,
}

/// One picture's part of an [`Identity`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct IdentityPicture {
    /// What the user called it.
    pub name: String,
    /// It was kept back and not learned from.
    pub held_out: bool,
    /// The numbers.
    pub numbers: Vec<f32>,
}

/// What the pictures of one prompt are worth: output `report` of [`ScorePictures`](crate::steps::ScorePictures).
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Scores {
    /// Picture by picture, in their order.
    pub pictures: Vec<PictureScores>,
    /// Mean identity, 0..=1; nothing where it is not known who it should be.
    pub identity: Option<f64>,
    /// The identity that the pictures that were learned from have: what a perfect likeness would come to.
    pub own: Option<f64>,
    /// What identity was told by.
    pub by: Option<IdentityBy>,
    /// Share of what was asked that is shown, 0..=1; nothing where nothing was asked that can be told.
    pub adherence: Option<f64>,
    /// How much the pictures differ in whom they show, 0 (all alike) ..=1; nothing for one picture.
    pub diversity: Option<f64>,
}

/// What one picture is worth.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct PictureScores {
    /// How much it is of whom it should be: 0..=1. By the face, 0.5 is where two people begin; a picture without a face
    /// has 0.
    pub identity: Option<f64>,
    /// What the prompt asked, and what is seen; of photographs nothing is told.
    pub answers: Vec<Answered>,
}

impl PictureScores {
    /// Share of what was asked that it shows.
    pub fn adherence(&self) -> Option<f64> {
        let obeyed = self.answers.iter().filter(|answer| answer.obeyed).count();
        (!self.answers.is_empty()).then(|| obeyed as f64 / self.answers.len() as f64)
    }
}

/// One thing that a prompt asked of a picture.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Answered {
    /// What it is about: `glasses`, `behind`.
    pub about: String,
    /// The prompt's own words.
    pub asked: String,
    /// What is seen.
    pub seen: String,
    /// Whether that is what was asked.
    pub obeyed: bool,
}

impl Scores {
    /// The mean of the pictures' scores, and what they have together.
    pub fn of(
        pictures: Vec<PictureScores>,
        by: Option<IdentityBy>,
        own: Option<f64>,
        diversity: Option<f64>,
    ) -> Self {
        let mean =
            |values: Vec<f64>| (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64);
        Scores {
            identity: mean(pictures.iter().filter_map(|picture| picture.identity).collect()),
            adherence: mean(pictures.iter().filter_map(PictureScores::adherence).collect()),
            own,
            by,
            diversity,
            pictures,
        }
    }

    /// By name, as metrics have them: `identity`, `adherence`, `diversity`.
    pub fn named(&self) -> impl Iterator<Item = (&'static str, f64)> {
        let all = [("identity", self.identity), ("adherence", self.adherence), ("diversity", self.diversity)];
        all.into_iter().filter_map(|(name, value)| Some((name, value?)))
    }

    /// Identity in a few words: `0.81 by the figure (its own pictures 0.88)`.
    pub fn identity_line(&self) -> Option<String> {
        let by = self.by.map_or(String::new(), |by| format!(" by {}", by.name()));
        let own = self.own.map_or(String::new(), |own| format!(" (its own pictures {own:.2})"));
        self.identity.map(|identity| format!("{identity:.2}{by}{own}"))
    }

    /// What was asked and how often it is shown: `red curtain 4 of 4, round glasses 1 of 4 (none is seen)`.
    pub fn adherence_line(&self) -> Option<String> {
        let told = || self.pictures.iter().filter(|picture| !picture.answers.is_empty());
        let (first, count) = (told().next()?, told().count());
        let line = |(at, asked): (usize, &Answered)| {
            let answers = || told().filter_map(move |picture| picture.answers.get(at));
            let obeyed = answers().filter(|answer| answer.obeyed).count();
            let seen = answers().find(|answer| !answer.obeyed).map(|answer| answer.seen.as_str());
            let instead = seen.map_or(String::new(), |seen| format!(" ({seen} is seen)"));
            match count {
                1 if obeyed == 1 => format!("{} yes", asked.asked),
                1 => format!("{} no{instead}", asked.asked),
                _ => format!("{} {obeyed} of {count}{instead}", asked.asked),
            }
        };
        Some(first.answers.iter().enumerate().map(line).collect::<Vec<_>>().join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn picture(identity: Option<f64>, obeyed: [bool; 2]) -> PictureScores {
        let answer = |about: &str, asked: &str, obeyed: bool| Answered {
            about: about.into(),
            asked: asked.into(),
            seen: if obeyed { asked.into() } else { "none".into() },
            obeyed,
        };
        PictureScores {
            identity,
            answers: vec![
                answer("behind", "red curtain", obeyed[0]),
                answer("glasses", "glasses", obeyed[1]),
            ],
        }
    }

    #[test]
    fn scores_are_means_and_say_what_was_not_shown() {
        let pictures = vec![picture(Some(0.9), [true, true]), picture(Some(0.7), [true, false])];
        let scores = Scores::of(pictures, Some(IdentityBy::Figure), Some(0.95), Some(0.1));
        let named: Vec<_> = scores.named().collect();
        assert_eq!(named.len(), 3);
        assert!((named[0].1 - 0.8).abs() < 1e-12 && (named[1].1 - 0.75).abs() < 1e-12, "{named:?}");
        assert_eq!(scores.identity_line().unwrap(), "0.80 by the figure (its own pictures 0.95)");
        assert_eq!(scores.adherence_line().unwrap(), "red curtain 2 of 2, glasses 1 of 2 (none is seen)");
        let one = Scores::of(vec![picture(None, [true, false])], None, None, None);
        assert_eq!(one.adherence_line().unwrap(), "red curtain yes, glasses no (none is seen)");
        assert_eq!((one.identity, one.identity_line()), (None, None));
        let nothing = Scores::of(vec![PictureScores::default()], None, None, None);
        assert_eq!((nothing.adherence, nothing.adherence_line()), (None, None));
    }
}
