//! The native windows: slide reviewer and training monitor.
