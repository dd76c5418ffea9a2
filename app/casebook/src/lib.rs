//! The record of every question and answer.
