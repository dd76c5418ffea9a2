//! Similar images: what was indexed, found and labelled.
