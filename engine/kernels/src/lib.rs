//! Arithmetic on packed weights: one operation, a kernel for each device.
