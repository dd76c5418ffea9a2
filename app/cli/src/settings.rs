//! Settings and where each came from: flag, environment, project file, user file, default.
