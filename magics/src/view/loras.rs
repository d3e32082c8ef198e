//! The LoRAs there are, with what each says of itself.

use super::{QUIET, data_uri, escape, table_of_html};
use crate::beside;
use spinbot::loras::{Lora, LoraList};
use spinbot::{Bundle, Image, Show};

/// Every LoRA of a list.
pub(crate) fn loras(list: &LoraList) -> Bundle {
    let mut room = beside::LARGEST_OUTPUT / 2;
    let rows: Vec<Vec<String>> = list.loras.iter().map(|lora| row(lora, &mut room)).collect();
    let table = match rows.is_empty() {
        true => format!(
            "<div style=\"{QUIET}\">No LoRA yet: <code>%loras NAME --import FILE</code> takes one in.</div>"
        ),
        false => table_of_html(&["LoRA", "trigger", "rank", "steps", "made for", "names", ""], &rows),
    };
    let damaged: String =
        list.damaged.iter().map(|fault| format!("<div>{}</div>", escape(&fault.message))).collect();
    let plain = if list.loras.is_empty() { Bundle::text("no LoRAs yet") } else { list.bundle() };
    plain.with("text/html", format!("<div style=\"max-width:760px\">{table}{damaged}</div>"))
}

fn row(lora: &Lora, room: &mut u64) -> Vec<String> {
    let number = |value: Option<u64>| value.map_or(String::new(), |value| value.to_string());
    // The first that fit.
    let thumbnail = lora.thumbnail().filter(|bytes| {
        let fits = room.checked_sub(bytes.len() as u64 * 4 / 3);
        fits.is_some_and(|left| {
            *room = left;
            true
        })
    });
    let picture = thumbnail.and_then(|bytes| {
        // Its own word for what it is could be anything.
        let shown = Image::bytes(bytes.clone()).ok()?.bundle();
        let mime = shown.data.keys().find(|mime| mime.starts_with("image/"))?;
        Some(format!("<img src=\"{}\" style=\"display:block;width:64px\">", data_uri(mime, &bytes)))
    });
    vec![
        format!("<code>{}</code>", escape(lora.name())),
        lora.trigger().map(escape).unwrap_or_default(),
        number(lora.rank().map(|rank| rank as u64)),
        number(lora.steps()),
        lora.base().map(escape).unwrap_or_default(),
        lora.format().name().to_owned(),
        picture.unwrap_or_default(),
    ]
}
