//! The program `longshore-agent`.

fn main() {}
