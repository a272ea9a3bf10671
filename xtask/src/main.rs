//! House checks of this workspace.

fn main() {}
