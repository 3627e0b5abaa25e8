//! Another static library in Rust, for a program that links Tollbar as well: with a standard library and panics of its own.

/// 7, by way of a panic that is caught.
#[unsafe(no_mangle)]
pub extern "C" fn other_answer() -> i32 {
    std::panic::set_hook(Box::new(|_| {}));
    std::panic::catch_unwind(|| std::env::args().map(|_| "x").collect::<Vec<_>>()[usize::MAX].len())
        .map_or(7, |_| 0)
}
