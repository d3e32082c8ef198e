//! What training needs of numbers; loops, data and files are not here.

mod adamw;

pub use adamw::AdamW;
