//! Bugs that a simulation plants by name, to see that it finds them.
//!
//! Nothing is planted unless a test chooses a name at run time, on its own
//! thread, and without the feature nothing can be: the question is a constant
//! then and costs nothing. Code that is planted stands beside what is right, in
//! the crate where the bug would be.

#[cfg(feature = "planted")]
mod chosen {
    use std::cell::RefCell;

    thread_local! {
        static CHOSEN: RefCell<Option<String>> = const { RefCell::new(None) };
    }

    /// Plants the bug of this name on this thread, instead of any other.
    pub fn plant(name: Option<&str>) {
        CHOSEN.with(|chosen| *chosen.borrow_mut() = name.map(str::to_owned));
    }

    /// Whether the bug of this name is planted on this thread.
    pub fn planted(name: &str) -> bool {
        CHOSEN.with(|chosen| chosen.borrow().as_deref() == Some(name))
    }
}

#[cfg(feature = "planted")]
pub use chosen::{plant, planted};

/// Whether the bug of this name is planted: never, without the feature.
#[cfg(not(feature = "planted"))]
#[inline(always)]
pub const fn planted(_: &str) -> bool {
    false
}
