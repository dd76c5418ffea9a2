//! Stops OpenSlide's libraries from printing on the terminal.
//!
//! libtiff writes warnings with the whole file name to standard error, and file names carry patient names;
//! `GLib` complains there of text that a damaged file lacks. What matters is returned by OpenSlide as an error.
//! OpenSlide 3 leaves libtiff's handlers as they are (4 sets its own) and offers no switch, so the functions
//! that set them are found by name among the libraries already loaded. Where they are not found, nothing
//! happens. libtiff is silenced for good; `GLib`, which a window uses too, only while a slide is being opened.
//! Held true by `tests/slides.rs`, which demands an empty or one-line standard error.

#![expect(unsafe_code, reason = "calls functions of C libraries that are already loaded")]

use std::ffi::{CStr, c_char, c_int, c_uint, c_void};
use std::sync::Once;

type TiffSetter = unsafe extern "C" fn(handler: *mut c_void) -> *mut c_void;
type LogFunction = extern "C" fn(*const c_char, c_int, *const c_char, *mut c_void);
type LogSetter = unsafe extern "C" fn(*const c_char, c_int, LogFunction, *mut c_void) -> c_uint;
type LogRemover = unsafe extern "C" fn(*const c_char, c_uint);

/// The name under which `GLib`'s own functions complain.
const DOMAIN: &CStr = c"GLib";
/// `G_LOG_LEVEL_CRITICAL | G_LOG_LEVEL_WARNING`.
const LEVELS: c_int = 1 << 3 | 1 << 4;

/// Sets libtiff's process-wide warning and error handlers to none, once.
pub(crate) fn quieten_libtiff() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        for name in [c"TIFFSetWarningHandler", c"TIFFSetErrorHandler"] {
            if let Some(found) = find(name) {
                // SAFETY: libtiff declares both functions as taking and returning a function pointer that may
                // be null, in every version, and nothing else exports these names.
                let setter = unsafe { std::mem::transmute::<*mut c_void, TiffSetter>(found) };
                // SAFETY: null is the documented way to say that messages are to be dropped.
                unsafe { setter(std::ptr::null_mut()) };
            }
        }
    });
}

/// Drops `GLib`'s own complaints while it lives.
pub(crate) struct QuietGlib {
    restore: Option<(LogRemover, c_uint)>,
}

impl QuietGlib {
    pub(crate) fn new() -> Self {
        let found = find(c"g_log_set_handler").zip(find(c"g_log_remove_handler"));
        let restore = found.map(|(setter, remover)| {
            // SAFETY: GLib 2 declares `g_log_set_handler` so: domain, levels, function, data; returns an id.
            let setter = unsafe { std::mem::transmute::<*mut c_void, LogSetter>(setter) };
            // SAFETY: and `g_log_remove_handler`: domain, id.
            let remover = unsafe { std::mem::transmute::<*mut c_void, LogRemover>(remover) };
            // SAFETY: the domain ends with zero and lives for ever, as does the function, which takes no data.
            let id = unsafe { setter(DOMAIN.as_ptr(), LEVELS, drop_message, std::ptr::null_mut()) };
            (remover, id)
        });
        Self { restore }
    }
}

impl Drop for QuietGlib {
    fn drop(&mut self) {
        if let Some((remover, id)) = self.restore {
            // SAFETY: the id was given for this domain and is removed once.
            unsafe { remover(DOMAIN.as_ptr(), id) };
        }
    }
}

extern "C" fn drop_message(_: *const c_char, _: c_int, _: *const c_char, _: *mut c_void) {}

/// A function of a library that is loaded.
#[cfg(target_os = "linux")]
fn find(name: &CStr) -> Option<*mut c_void> {
    unsafe extern "C" {
        fn dlsym(library: *mut c_void, name: *const c_char) -> *mut c_void;
    }
    // SAFETY: `name` ends with zero; a null library means all that the process has loaded (`RTLD_DEFAULT` of
    // glibc and musl), and the answer is null or the address of the function of that name.
    let found = unsafe { dlsym(std::ptr::null_mut(), name.as_ptr()) };
    if found.is_null() { None } else { Some(found) }
}

#[cfg(not(target_os = "linux"))]
fn find(_name: &CStr) -> Option<*mut c_void> {
    None
}
