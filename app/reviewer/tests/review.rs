//! The reviewer's window without the window.
#[test]
fn it_builds() {}
