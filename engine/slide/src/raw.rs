//! Stops libtiff, which OpenSlide uses, from printing on the terminal.
//!
//! libtiff writes warnings with the whole file name to standard error, and file names carry patient names;
//! an error besides would be printed there and returned by OpenSlide. OpenSlide 3 leaves libtiff's handlers
//! as they are (4 sets its own), and offers no switch, so the two handlers are found by name among the
//! libraries already loaded and set to none. Where they are not found, nothing happens.
//! Held true by `tests/slides.rs`, which demands an empty or one-line standard error.

#![expect(unsafe_code, reason = "calls two functions of a C library that is already loaded")]

use std::ffi::{CStr, c_char, c_void};
use std::sync::Once;

/// Sets libtiff's process-wide warning and error handlers to none, once.
pub(crate) fn quieten_libtiff() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        set_no_handler(c"TIFFSetWarningHandler");
        set_no_handler(c"TIFFSetErrorHandler");
    });
}

#[cfg(target_os = "linux")]
fn set_no_handler(name: &CStr) {
    unsafe extern "C" {
        fn dlsym(library: *mut c_void, name: *const c_char) -> *mut c_void;
    }
    type Setter = unsafe extern "C" fn(handler: *mut c_void) -> *mut c_void;
    // SAFETY: `name` ends with zero; a null library means all that the process has loaded (`RTLD_DEFAULT` of
    // glibc and musl), and the answer is null or the address of the function of that name.
    let found = unsafe { dlsym(std::ptr::null_mut(), name.as_ptr()) };
    if !found.is_null() {
        // SAFETY: libtiff declares both functions as taking and returning a function pointer that may be null,
        // and has done so in every version; nothing else exports these names.
        let setter = unsafe { std::mem::transmute::<*mut c_void, Setter>(found) };
        // SAFETY: null is the documented way to say that messages are to be dropped.
        unsafe { setter(std::ptr::null_mut()) };
    }
}

#[cfg(not(target_os = "linux"))]
fn set_no_handler(_name: &CStr) {}
