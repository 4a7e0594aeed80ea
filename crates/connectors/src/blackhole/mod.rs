//! A sink that takes everything and keeps nothing.

mod options;
mod sink;

pub(crate) use options::Blackhole;
pub(crate) use sink::register;
