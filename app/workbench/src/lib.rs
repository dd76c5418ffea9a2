//! The application without a window.
//!
//! Entry point: [`Workbench`]. It opens slides under opaque keys ([`SlideRegistry`]), serves their tiles as
//! JPEG to a deep-zoom viewer ([`TileFeed`], laid out by [`TilePlan`]), turns the current view into pixels for
//! a model ([`read_view`]), and keeps the last errors in the form a window shows ([`RecentErrors`]).

mod ask;
mod cache;
mod encode;
