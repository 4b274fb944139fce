//! Turns panics of wgpu into errors. wgpu 30 panics at some failures of a driver: in `Device::poll`, in the first use of a
//! queue, and while a device is destroyed.

use std::cell::{Cell, RefCell};
use std::panic::{self, AssertUnwindSafe, PanicHookInfo};
use std::path::Path;
use std::sync::Once;

thread_local! {
    /// Whether this thread is inside [`contained`].
    static CONTAINED: Cell<bool> = const { Cell::new(false) };
    /// The message of wgpu's panic.
    static MESSAGE: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Runs `work`. A panic in wgpu is an error with its message, and is not printed; other panics continue.
pub(super) fn contained<R>(work: impl FnOnce() -> R) -> Result<R, String> {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let previous = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            match CONTAINED.get() && info.location().is_some_and(|at| is_wgpu(at.file())) {
                true => MESSAGE.set(Some(message(info))),
                false => previous(info),
            }
        }));
    });
    let outer = CONTAINED.replace(true);
    let result = panic::catch_unwind(AssertUnwindSafe(work));
    CONTAINED.set(outer);
    result.or_else(|payload| MESSAGE.take().map_or_else(|| panic::resume_unwind(payload), Err))
}

/// Whether a source file belongs to one of wgpu's crates.
fn is_wgpu(file: &str) -> bool {
    let is_wgpu = |name: &str| name == "wgpu" || name.starts_with("wgpu-");
    Path::new(file).iter().filter_map(|name| name.to_str()).any(is_wgpu)
}

/// The panic's message in one line.
fn message(info: &PanicHookInfo<'_>) -> String {
    let payload = info.payload();
    let text =
        payload.downcast_ref::<&str>().copied().or(payload.downcast_ref::<String>().map(String::as_str));
    let text = text.unwrap_or("wgpu panicked");
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_of_wgpu_are_recognized() {
        assert!(is_wgpu(
            "/home/a/.cargo/registry/src/index.crates.io-1949cf8c6b5b557f/wgpu-core-30.0.1/src/device/queue.rs"
        ));
        assert!(is_wgpu("vendor/wgpu/src/api/device.rs"));
        assert!(!is_wgpu(file!()));
    }

    #[test]
    fn other_panics_continue() {
        let caught = panic::catch_unwind(|| contained(|| panic!("a bug")));
        let payload = caught.expect_err("the panic should continue");
        assert_eq!(payload.downcast_ref(), Some(&"a bug"));
        assert_eq!(contained(|| 1), Ok(1));
    }
}
