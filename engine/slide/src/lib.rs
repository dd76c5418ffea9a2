//! Slides and pictures behind one safe type: open, read regions, write pyramids.
