//! One file per step.

mod add_cards;
mod animate;
mod animate_wav2lip;
mod arrange_pictures;
mod articulate;
mod check_cloner;
mod clone_voice;
mod convert_lora;
mod draw;
mod drive;
mod encode;
mod encode_speech;
mod listen;
mod mix_music;
mod read_clips;
mod read_pictures;
mod read_portrait;
mod read_speech;
mod read_voice;
mod score_pictures;
mod speak;
mod train_lora;
mod write_script;
