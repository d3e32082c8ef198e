//! Pictures to learn from: the size each gets, the part that is cut out of it, and what it is seen to show.
//!
//! Files are read, and results written, by the step `read_pictures`.

pub(crate) mod bucket;
pub(crate) mod caption;
pub(crate) mod colour;
pub(crate) mod reader;
pub(crate) mod window;
