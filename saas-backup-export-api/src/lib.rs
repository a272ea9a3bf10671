//! The vendor half of the Open Export Protocol: a server kit.
