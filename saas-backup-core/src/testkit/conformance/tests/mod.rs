//! Each check is seen to fail: a source or a sink with exactly one fault fails exactly the checks that name it.

mod sink;
mod source;
