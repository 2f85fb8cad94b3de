//! What is this kind's own.
